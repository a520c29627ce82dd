"""From tree to closures: each node becomes one function of the context.

A closure that can fail adds its place to the error. Nothing here counts steps at run time: every closure runs at most
once in an evaluation, so the limits on words and depth that are checked before bound the work.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from engine.kernel.expression.coercion import kind_of, to_boolean, to_text
from engine.kernel.expression.context import Context
from engine.kernel.expression.errors import ExpressionError, ExpressionSyntaxError
from engine.kernel.expression.exposed import Value
from engine.kernel.expression.functions import Function
from engine.kernel.expression.limits import MAX_TREE_DEPTH
from engine.kernel.expression.members import call, guarded, read
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
from engine.kernel.expression.operators import BINARY, UNARY, to_integer_index

Evaluator: TypeAlias = Callable[[Context], Value]


class Compiler:
    """Compiles the expressions of one source text; `root_names` collects the names that they resolve."""

    __slots__ = ("_depth", "_functions", "_text", "root_names")

    def __init__(self, text: str, functions: Mapping[str, Function]) -> None:
        self._text = text
        self._functions = functions
        self._depth = 0
        self.root_names: set[str] = set()

    def compile(self, node: Node) -> Evaluator:
        """The function that evaluates the node. Raises `ExpressionSyntaxError` if the tree is too deep."""
        self._depth += 1
        if self._depth > MAX_TREE_DEPTH:
            message = f"expected at most {MAX_TREE_DEPTH} levels of operations, found more"
            raise ExpressionSyntaxError(message, self._text, node.position)
        evaluator = self._by_kind(node)
        self._depth -= 1
        return evaluator

    def _by_kind(self, node: Node) -> Evaluator:
        match node:
            case Literal():
                return _literal(node.value)
            case Name():
                return self._name(node)
            case Member():
                return self._member(node)
            case MethodCall():
                return self._method_call(node)
            case FunctionCall():
                return self._function_call(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Logical():
                return self._logical(node)
            case Conditional():
                return self._conditional(node)
            case ListLiteral():
                items = [self.compile(item) for item in node.items]
                return lambda context: [item(context) for item in items]
            case MapLiteral():
                entries = [(key, self.compile(value)) for key, value in node.entries]
                return lambda context: {key: value(context) for key, value in entries}

    def _name(self, node: Name) -> Evaluator:
        text, position, name = self._text, node.position, node.name
        self.root_names.add(name)

        def evaluate(context: Context) -> Value:
            try:
                return context.resolve(name)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _member(self, node: Member) -> Evaluator:
        text, position = self._text, node.position
        target, key = self.compile(node.target), self.compile(node.key)

        def evaluate(context: Context) -> Value:
            owner, member = target(context), key(context)
            try:
                return read(owner, member)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _method_call(self, node: MethodCall) -> Evaluator:
        text, position, method = self._text, node.position, node.method
        target = self.compile(node.target)
        arguments = [self.compile(argument) for argument in node.arguments]

        def evaluate(context: Context) -> Value:
            owner = target(context)
            given = [argument(context) for argument in arguments]
            try:
                return call(owner, method, given)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _function_call(self, node: FunctionCall) -> Evaluator:
        text, position, name = self._text, node.position, node.function
        function = self._functions[name]
        if function.names_variable and isinstance(node.arguments[0], Literal):
            self.root_names.add(str(node.arguments[0].value))
        arguments = [self.compile(argument) for argument in node.arguments]

        def evaluate(context: Context) -> Value:
            given = [argument(context) for argument in arguments]
            try:
                return guarded(name, function.call, given, context)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _unary(self, node: Unary) -> Evaluator:
        text, position, apply = self._text, node.position, UNARY[node.operator]
        operand = self.compile(node.operand)

        def evaluate(context: Context) -> Value:
            value = operand(context)
            try:
                return apply(value)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _binary(self, node: Binary) -> Evaluator:
        text, position, apply = self._text, node.position, BINARY[node.operator]
        left = self.compile(node.left)
        if isinstance(node.right, Literal):
            return self._binary_with_literal(node, left, node.right.value)
        right = self.compile(node.right)

        def evaluate(context: Context) -> Value:
            first, second = left(context), right(context)
            try:
                return apply(first, second)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _binary_with_literal(self, node: Binary, left: Evaluator, second: Value) -> Evaluator:
        """Comparing with a constant is what most conditions do; it saves a call."""
        text, position, apply = self._text, node.position, BINARY[node.operator]

        def evaluate(context: Context) -> Value:
            first = left(context)
            try:
                return apply(first, second)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__

        return evaluate

    def _logical(self, node: Logical) -> Evaluator:
        text, position = self._text, node.position
        first, *others = [self.compile(operand) for operand in node.operands]
        decisive = node.operator == "||"

        def evaluate(context: Context) -> Value:
            value = first(context)
            try:
                outcome = value if value is True or value is False else to_boolean(value)
                for other in others:
                    if outcome is decisive:
                        return decisive
                    value = other(context)
                    outcome = value if value is True or value is False else to_boolean(value)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__
            return outcome

        return evaluate

    def _conditional(self, node: Conditional) -> Evaluator:
        text, position = self._text, node.position
        test, then, otherwise = (self.compile(part) for part in (node.test, node.then, node.otherwise))

        def evaluate(context: Context) -> Value:
            value = test(context)
            try:
                holds = value if value is True or value is False else to_boolean(value)
            except ExpressionError as error:
                raise error.at(text, position) from error.__cause__
            return then(context) if holds else otherwise(context)

        return evaluate


def _literal(value: Value) -> Evaluator:
    return lambda _context: value


class Place:
    """What an expression can assign to: a variable, or a member at the end of a path of members of maps and lists."""

    __slots__ = ("_name", "_path", "_position", "_text")

    def __init__(self, name: Name, path: list[tuple[int, Evaluator]], text: str) -> None:
        self._name = name.name
        self._path: Final = path
        self._text = text
        self._position = name.position

    def assign(self, context: Context, value: Value) -> None:
        """Set the variable; for a member, to a copy of its old value that differs in that member only.

        Values are shared with the events that set them, so they are never changed in place.
        """
        keys = [(position, key(context)) for position, key in self._path]
        try:
            whole = self._replaced(context.resolve(self._name), keys, value) if keys else value
            context.assign(self._name, whole)
        except ExpressionError as error:
            raise error.at(self._text, self._position) from error.__cause__

    def _replaced(self, owner: Value, keys: list[tuple[int, Value]], value: Value) -> Value:
        if not keys:
            return value
        (position, key), *rest = keys
        try:
            if isinstance(owner, dict):
                name = to_text(key)
                return {**owner, name: self._replaced(owner.get(name), rest, value)}
            if isinstance(owner, list):
                index = to_integer_index(key)
                if not 0 <= index < len(owner):
                    raise ExpressionError(f"expected an index from 0 to below {len(owner)}, found {index}")
                return [*owner[:index], self._replaced(owner[index], rest, value), *owner[index + 1 :]]
            raise ExpressionError(f"expected a map or a list to set a member in, found {kind_of(owner)}")
        except ExpressionError as error:
            raise error.at(self._text, position) from error.__cause__


def place_of(node: Node, text: str, functions: Mapping[str, Function]) -> Place | None:
    """Where the expression can assign to, or None if it is no place."""
    path: list[tuple[int, Evaluator]] = []
    while isinstance(node, Member):
        path.append((node.position, Compiler(text, functions).compile(node.key)))
        node = node.target
    return Place(node, path[::-1], text) if isinstance(node, Name) else None
