"""Mappings of values from one place to another: Flowable's `in` and `out` parameters of calls, events and workers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.kernel.conversion import KINDS
from engine.kernel.expression import Expression
from engine.kernel.reading import Reader, Source
from engine.kernel.values import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One mapping: a source name or expression to a target name or expression; `kind` is a type to convert to."""

    source: str = ""
    expression: Expression | None = None
    target: str = ""
    target_expression: Expression | None = None
    transient: bool = False
    kind: str = ""


def read_parameters(found: Iterable[Source], reader: Reader, element: Source) -> tuple[Parameter, ...]:
    """Those of the given extension elements that name a target or, failing that, a source to keep its name."""
    return tuple(_read(source, reader, element) for source in found if _maps(source))


def _maps(source: Source) -> bool:
    return any(source.attributes.get(name) for name in ("source", "sourceExpression", "target", "targetExpression"))


def _read(source: Source, reader: Reader, element: Source) -> Parameter:
    attributes = source.attributes
    target_expression = reader.expression(element, attributes.get("targetExpression"), "targetExpression", element.id)
    target = attributes.get("target", "") or ("" if target_expression is not None else attributes.get("source", ""))
    if not target and target_expression is None:
        reader.problem(source, f"expected the {source.tag} parameter to have a target, found none", element.id)
    kind = attributes.get("targetType", attributes.get("sourceType", "")).strip()
    if kind and kind.lower() not in KINDS:
        expected = ", ".join(KINDS)
        reader.problem(source, f"expected the type of a parameter to be one of {expected}, found '{kind}'", element.id)
        kind = ""
    return Parameter(
        source=attributes.get("source", ""),
        expression=reader.expression(element, attributes.get("sourceExpression"), "sourceExpression", element.id),
        target=target,
        target_expression=target_expression,
        transient=attributes.get("transient", "").strip().lower() == "true",
        kind=kind,
    )


def map_values(
    parameters: Iterable[Parameter],
    evaluate: Callable[[Expression], Any],
    name: Callable[[str], Any],
) -> dict[str, Any]:
    """The targets with their values: `evaluate` answers expressions, `name` plain sources (None for unknown ones)."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        target = (
            parameter.target or str(evaluate(parameter.target_expression))
            if parameter.target_expression
            else parameter.target
        )
        found[target] = evaluate(parameter.expression) if parameter.expression is not None else name(parameter.source)
    return found


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without their declared types."""
    return {name: value.value if isinstance(value, Variable) else value for name, value in values.items()}
