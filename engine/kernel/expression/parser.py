"""Grammar of an expression, by operator precedence (Jakarta EL 1.14): tokens in, tree out."""

from collections.abc import Mapping
from typing import Final

from engine.kernel.expression.errors import ExpressionSyntaxError
from engine.kernel.expression.functions import Function
from engine.kernel.expression.lexer import Token, TokenKind
from engine.kernel.expression.limits import MAX_NESTING_DEPTH
from engine.kernel.expression.nodes import (
    Binary,
    Conditional,
    FunctionCall,
    ListLiteral,
    Literal,
    Logical,
    MapLiteral,
    Member,
    MethodCall,
    Name,
    Node,
    Unary,
)

_OPERATORS: Final[Mapping[str, tuple[str, int]]] = {
    "||": ("||", 1),
    "or": ("||", 1),
    "&&": ("&&", 2),
    "and": ("&&", 2),
    "==": ("==", 3),
    "eq": ("==", 3),
    "!=": ("!=", 3),
    "ne": ("!=", 3),
    "<": ("<", 4),
    "lt": ("<", 4),
    ">": (">", 4),
    "gt": (">", 4),
    "<=": ("<=", 4),
    "le": ("<=", 4),
    ">=": (">=", 4),
    "ge": (">=", 4),
    "+": ("+", 5),
    "-": ("-", 5),
    "*": ("*", 6),
    "/": ("/", 6),
    "div": ("/", 6),
    "%": ("%", 6),
    "mod": ("%", 6),
}
_UNARY: Final[Mapping[str, str]] = {"-": "-", "!": "!", "not": "!", "empty": "empty"}
_CONSTANTS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}
_RESERVED: Final = frozenset(word for word in (*_OPERATORS, *_UNARY, *_CONSTANTS) if word.isalpha())
_LOGICAL: Final = frozenset({"&&", "||"})


class Parser:
    """One pass over the tokens of one expression. `text` is only for errors; functions are known by `prefix:name`."""

    __slots__ = ("_at", "_depth", "_functions", "_open_conditionals", "_text", "_tokens")

    def __init__(self, text: str, tokens: list[Token], functions: Mapping[str, Function]) -> None:
        self._text = text
        self._tokens = tokens
        self._functions = functions
        self._at = 0
        self._depth = 0
        self._open_conditionals = 0

    def parse(self) -> Node:
        """The tree of the whole expression. Raises `ExpressionSyntaxError`."""
        node = self._expression()
        if self._token.kind is not TokenKind.END:
            raise self._unexpected("an operator or the end of the expression")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is_sign(self, sign: str, ahead: int = 0) -> bool:
        place = self._at + ahead
        return place < len(self._tokens) and (
            self._tokens[place].kind is TokenKind.SIGN and self._tokens[place].source == sign
        )

    def _expect(self, sign: str, purpose: str) -> Token:
        if not self._is_sign(sign):
            raise self._unexpected(f"{sign!r} {purpose}")
        return self._take()

    def _unexpected(self, expected: str) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(
            f"expected {expected}, found {self._token.shown()}", self._text, self._token.position
        )

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING_DEPTH:
            raise self._unexpected(f"at most {MAX_NESTING_DEPTH} levels of nesting")

    def _expression(self) -> Node:
        self._enter()
        test = self._binary(1)
        if self._is_sign("?"):
            sign = self._take()
            self._open_conditionals += 1
            then = self._expression()
            self._open_conditionals -= 1
            self._expect(":", "between the two outcomes of '?'")
            test = Conditional(position=sign.position, test=test, then=then, otherwise=self._expression())
        self._depth -= 1
        return test

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while self._token.kind in (TokenKind.SIGN, TokenKind.NAME) and self._token.source in _OPERATORS:
            operator, binding = _OPERATORS[self._token.source]
            if binding < least:
                break
            position = self._take().position
            right = self._binary(binding + 1)
            if operator not in _LOGICAL:
                left = Binary(position=position, operator=operator, left=left, right=right)
            elif isinstance(left, Logical) and left.operator == operator:
                left = Logical(position=left.position, operator=operator, operands=(*left.operands, right))
            else:
                left = Logical(position=position, operator=operator, operands=(left, right))
        return left

    def _unary(self) -> Node:
        token = self._token
        if token.kind not in (TokenKind.SIGN, TokenKind.NAME) or token.source not in _UNARY:
            return self._postfix()
        self._take()
        self._enter()
        operand = self._unary()
        self._depth -= 1
        operator = _UNARY[token.source]
        if operator == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(position=token.position, value=-operand.value)  # type: ignore[operator]
        return Unary(position=token.position, operator=operator, operand=operand)

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            if self._is_sign("."):
                node = self._after_dot(node, self._take().position)
            elif self._is_sign("["):
                position = self._take().position
                key = self._nested()
                self._expect("]", "to close the index")
                node = Member(position=position, target=node, key=key)
            else:
                return node

    def _after_dot(self, target: Node, position: int) -> Node:
        if self._token.kind is not TokenKind.NAME:
            raise self._unexpected("a name behind '.'")
        name = self._take()
        if self._is_sign("("):
            return MethodCall(position=name.position, target=target, method=name.source, arguments=self._arguments())
        return Member(position=position, target=target, key=Literal(position=name.position, value=name.source))

    def _primary(self) -> Node:
        token = self._token
        if token.kind in (TokenKind.NUMBER, TokenKind.TEXT):
            self._take()
            return Literal(position=token.position, value=token.value)
        if token.kind is TokenKind.NAME:
            return self._named(token)
        if self._is_sign("("):
            self._take()
            node = self._nested()
            self._expect(")", "to close the parenthesis")
            return node
        if self._is_sign("["):
            return self._list()
        if self._is_sign("{"):
            return self._map()
        raise self._unexpected("a value")

    def _nested(self) -> Node:
        """An expression between brackets, where a colon cannot belong to a conditional further out."""
        outside, self._open_conditionals = self._open_conditionals, 0
        node = self._expression()
        self._open_conditionals = outside
        return node

    def _named(self, token: Token) -> Node:
        if self._is_function(token):
            return self._function()
        if token.source in _CONSTANTS:
            self._take()
            return Literal(position=token.position, value=_CONSTANTS[token.source])
        if token.source in _RESERVED:
            raise self._unexpected("a value")
        self._take()
        return Name(position=token.position, name=token.source)

    def _is_function(self, token: Token) -> bool:
        """Whether a call starts here; in `a ? b : c(1)` only a known prefix makes `b:c` a function."""
        if self._is_sign("(", 1) and token.source not in _RESERVED:
            return True
        if not (self._is_sign(":", 1) and self._is_sign("(", 3) and self._tokens[self._at + 2].kind is TokenKind.NAME):
            return False
        return self._open_conditionals == 0 or any(
            function.startswith(f"{token.source}:") for function in self._functions
        )

    def _function(self) -> Node:
        first = self._take()
        name = first.source
        if self._is_sign(":"):
            self._take()
            name = f"{name}:{self._take().source}"
        function = self._functions.get(name)
        if function is None:
            raise ExpressionSyntaxError(f"expected the name of a function, found {name!r}", self._text, first.position)
        arguments = self._arguments()
        if not function.accepts(len(arguments)):
            message = f"expected {function.arity()} for {name}, found {len(arguments)}"
            raise ExpressionSyntaxError(message, self._text, first.position)
        if function.names_variable and isinstance(arguments[0], Name):
            variable = Literal(position=arguments[0].position, value=arguments[0].name)
            arguments = (variable, *arguments[1:])
        return FunctionCall(position=first.position, function=name, arguments=arguments)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(", "before the arguments")
        return self._items(")", "behind an argument")

    def _list(self) -> Node:
        position = self._take().position
        return ListLiteral(position=position, items=self._items("]", "behind an item of the list"))

    def _items(self, closing: str, place: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._is_sign(closing):
            if items:
                self._expect(",", f"or {closing!r} {place}")
            items.append(self._nested())
        self._take()
        return tuple(items)

    def _map(self) -> Node:
        position = self._take().position
        entries: list[tuple[str, Node]] = []
        while not self._is_sign("}"):
            if entries:
                self._expect(",", "or '}' behind an entry of the map")
            if self._token.kind is not TokenKind.TEXT:
                raise self._unexpected("a quoted key of the map")
            key = str(self._take().value)
            self._expect(":", "behind the key of the map")
            entries.append((key, self._nested()))
        self._take()
        return MapLiteral(position=position, entries=tuple(entries))
