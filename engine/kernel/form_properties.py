"""Form properties: the form that stands in the model itself (Flowable's `formProperty` of start events and user tasks).

The kernel only reads them; what is shown and submitted is `engine.app.form_properties`.
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel.expression import Expression
from engine.kernel.reading import Reader, Source

DEFAULT_DATE_PATTERN: Final = "dd/MM/yyyy"
"""Flowable's pattern where a date property has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormProperty:
    """One property. It is kept in `variable`, or where `expression` points, or under its own id.

    `values` are id and name of each choice of an enum.
    """

    id: str
    name: str
    type: str
    variable: str = ""
    expression: Expression | None = None
    default: Expression | None = None
    required: bool = False
    readable: bool = True
    writable: bool = True
    date_pattern: str = DEFAULT_DATE_PATTERN
    values: tuple[tuple[str, str], ...] = ()


def read_form_properties(source: Source, reader: Reader) -> tuple[FormProperty, ...]:
    """The properties of an element; one without an id, or with another's, is a problem of the element."""
    found: dict[str, FormProperty] = {}
    for each in source.extensions("formProperty"):
        property_id = each.attributes.get("id", "").strip()
        if not property_id or property_id in found:
            said = f"found '{property_id}' twice" if property_id else "found none"
            reader.problem(each, f"expected a form property with an id of its own, {said}", source.id)
            continue
        found[property_id] = _read(each, property_id, source, reader)
    return tuple(found.values())


def _read(each: Source, property_id: str, source: Source, reader: Reader) -> FormProperty:
    attributes = each.attributes

    def expression(name: str) -> Expression | None:
        return reader.expression(each, attributes.get(name), f"form property '{property_id}', {name}", source.id)

    return FormProperty(
        id=property_id,
        name=attributes.get("name", ""),
        type=attributes.get("type", "").strip(),
        variable=attributes.get("variable", "").strip(),
        expression=expression("expression"),
        default=expression("default"),
        required=_flag(each, "required", default=False),
        readable=_flag(each, "readable", default=True),
        writable=_flag(each, "writable", default=True),
        date_pattern=attributes.get("datePattern", "").strip() or DEFAULT_DATE_PATTERN,
        values=tuple(
            (value.attributes.get("id", ""), value.attributes.get("name", ""))
            for value in each.children
            if value.tag == "value"
        ),
    )


def _flag(each: Source, name: str, *, default: bool) -> bool:
    found = each.attributes.get(name, "").strip().lower()
    return default if not found else found == "true"
