"""A source text: expressions with literal text around them."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from engine.kernel.expression.coercion import to_text
from engine.kernel.expression.compile import Compiler, Evaluator, Place, place_of
from engine.kernel.expression.context import Context
from engine.kernel.expression.errors import ExpressionError, ExpressionSyntaxError
from engine.kernel.expression.exposed import Value
from engine.kernel.expression.functions import STANDARD_FUNCTIONS, Function
from engine.kernel.expression.lexer import scan
from engine.kernel.expression.limits import MAX_EVALUATION_STEPS, MAX_RESULT_CHARS, MAX_TEXT_CHARS
from engine.kernel.expression.nodes import Node
from engine.kernel.expression.parser import Parser

_OPENING: Final = re.compile(r"\\?[$#]\{")
_Part: TypeAlias = "str | tuple[int, Node]"


class Expression:
    """A parsed text: immutable, free of context, usable by any number of threads. Equal if the text is equal."""

    __slots__ = ("_evaluator", "_place", "is_literal", "root_names", "text")

    text: Final[str]
    """The source, as it was given."""
    is_literal: Final[bool]
    """Whether there is no expression in the text."""
    root_names: Final[frozenset[str]]
    """The roots that it names, with the variables named as constants in functions such as `vars:get(name)`."""

    def __init__(
        self,
        text: str,
        evaluator: Evaluator,
        *,
        is_literal: bool,
        root_names: frozenset[str],
        place: Callable[[], Place | None],
    ) -> None:
        self.text = text
        self.is_literal = is_literal
        self.root_names = root_names
        self._evaluator = evaluator
        self._place = place

    def evaluate(self, context: Context) -> Value:
        """The value: of any kind if the text is one expression, else a text. Raises `ExpressionError`."""
        try:
            return self._evaluator(context)
        except (ArithmeticError, RecursionError) as error:
            message = "expected a value within the limits of numbers and nesting, found one beyond them"
            raise ExpressionError(message, self.text, 0) from error

    def assign(self, context: Context, value: Value) -> None:
        """Set what `${name}` or `${name.member[0]}` stands for. Raises `ExpressionError` if it is no such place."""
        place = self._place()
        if place is None:
            message = "expected a variable or a member of one to assign to, found another expression"
            raise ExpressionError(message, self.text, 0)
        try:
            place.assign(context, value)
        except (ArithmeticError, RecursionError) as error:
            message = "expected a value within the limits of numbers and nesting, found one beyond them"
            raise ExpressionError(message, self.text, 0) from error

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def parse(text: str, functions: Mapping[str, Function] = STANDARD_FUNCTIONS) -> Expression:
    r"""Parse a text with `${…}` and `#{…}` (both the same; `\${` and `\#{` stand for themselves).

    Functions are looked up here, so an unknown one is an `ExpressionSyntaxError`, as is whatever exceeds `limits`.
    """
    if _OPENING.search(text) is None:
        return _literal(text, text)
    if len(text) > MAX_TEXT_CHARS:
        raise ExpressionSyntaxError(f"expected a text of at most {MAX_TEXT_CHARS} characters, found {len(text)}", "", 0)
    try:
        return _compiled(text, _parts(text, functions), functions)
    except RecursionError as error:
        raise ExpressionSyntaxError("expected an expression of less depth, found a deeper one", text, 0) from error


def _literal(text: str, value: str) -> Expression:
    return Expression(text, lambda _context: value, is_literal=True, root_names=frozenset(), place=_no_place)


def _no_place() -> Place | None:
    return None


def _parts(text: str, functions: Mapping[str, Function]) -> list[_Part]:
    parts: list[_Part] = []
    steps = 0
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        parts.append(text[position : opening.start()])
        if opening.group().startswith("\\"):
            parts.append(opening.group()[1:])
            position = opening.end()
            continue
        tokens, position = scan(text, opening.end())
        steps += len(tokens)
        if steps > MAX_EVALUATION_STEPS:
            message = f"expected at most {MAX_EVALUATION_STEPS} words in the expressions of a text, found more"
            raise ExpressionSyntaxError(message, text, opening.start())
        parts.append((opening.start(), Parser(text, tokens, functions).parse()))
    parts.append(text[position:])
    return [part for part in parts if part]


def _compiled(text: str, parts: list[_Part], functions: Mapping[str, Function]) -> Expression:
    nodes = [part for part in parts if not isinstance(part, str)]
    if not nodes:
        return _literal(text, "".join(part for part in parts if isinstance(part, str)))
    compiler = Compiler(text, functions)
    if len(parts) == 1:
        _, node = nodes[0]
        evaluator = compiler.compile(node)
        place = lambda: place_of(node, text, functions)  # noqa: E731 - rarely asked for, so made when asked
    else:
        pieces = [part if isinstance(part, str) else (part[0], compiler.compile(part[1])) for part in parts]
        evaluator, place = _joined(text, pieces), _no_place
    return Expression(text, evaluator, is_literal=False, root_names=frozenset(compiler.root_names), place=place)


def _joined(text: str, pieces: list[str | tuple[int, Evaluator]]) -> Evaluator:
    def evaluate(context: Context) -> Value:
        written: list[str] = []
        length = 0
        for piece in pieces:
            if isinstance(piece, str):
                written.append(piece)
            else:
                position, evaluator = piece
                value = evaluator(context)
                try:
                    written.append(to_text(value))
                except ExpressionError as error:
                    raise error.at(text, position) from error.__cause__
            length += len(written[-1])
            if length > MAX_RESULT_CHARS:
                message = f"expected a text of at most {MAX_RESULT_CHARS} characters, found a longer one"
                raise ExpressionError(message, text, 0)
        return "".join(written)

    return evaluate
