"""The tree of a parsed expression. `position` is the offset of the node's sign in the source text, in characters."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    position: int
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    position: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """`target.key` (the key is then a text literal) or `target[key]`."""

    position: int
    target: "Node"
    key: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCall:
    position: int
    target: "Node"
    method: str
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """`prefix:name(…)`; `function` is `prefix:name`, or the bare name when there is no prefix."""

    position: int
    function: str
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary:
    position: int
    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    position: int
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logical:
    """A chain of `&&` or of `||`, evaluated from the left until the outcome is known."""

    position: int
    operator: str
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    position: int
    test: "Node"
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLiteral:
    position: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLiteral:
    position: int
    entries: "tuple[tuple[str, Node], ...]"


Node: TypeAlias = (
    Literal
    | Name
    | Member
    | MethodCall
    | FunctionCall
    | Unary
    | Binary
    | Logical
    | Conditional
    | ListLiteral
    | MapLiteral
)
