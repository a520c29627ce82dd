"""The values an expression works on, and the objects that it may touch."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeAlias

Value: TypeAlias = "bool | int | float | str | bytes | date | list[Any] | dict[str, Any] | Exposed | None"
"""JSON-like plain Python, aware datetimes, dates, bytes and exposed objects. `int` is Java's integer and its long."""


class Exposed:
    """An object reachable from expressions, such as `execution` or `task`, by allow-list only.

    `properties` are read by `object.name` (and by `object.getName()`), `methods` called by `object.name(…)`. A method
    may raise `ExpressionError` or any error of the kernel; TypeError, ValueError, ArithmeticError and LookupError are
    taken as "these arguments do not suit" and become an `ExpressionError`.
    """

    __slots__ = ("label", "methods", "properties")

    label: str
    properties: Mapping[str, Callable[[], Value]]
    methods: Mapping[str, Callable[..., Value]]

    def __init__(
        self,
        label: str,
        *,
        properties: Mapping[str, Callable[[], Value]] | None = None,
        methods: Mapping[str, Callable[..., Value]] | None = None,
    ) -> None:
        self.label = label
        self.properties = {} if properties is None else properties
        self.methods = {} if methods is None else methods

    def __repr__(self) -> str:
        return f"Exposed({self.label!r})"
