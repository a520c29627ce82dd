"""Data objects: variables that a scope has from its beginning (BPMN 2.0, 10.3.1; Flowable's `value` extension)."""

from typing import Any, Final

import msgspec

from engine.kernel.definition import DataObject
from engine.kernel.reading import Reader, Source
from engine.kernel.values import BOOLEAN, DATE, DOUBLE, INTEGER, JSON, LONG, NULL, STRING, parse_datetime

XSD_TYPES: Final = {
    "string": STRING, "int": INTEGER, "integer": INTEGER, "short": INTEGER, "long": LONG, "double": DOUBLE,
    "float": DOUBLE, "decimal": DOUBLE, "boolean": BOOLEAN, "datetime": DATE, "date": DATE, "json": JSON,
}  # fmt: skip


def read_data_objects(container: Source, reader: Reader) -> tuple[DataObject, ...]:
    """The data objects directly inside a process or sub-process; a value that does not fit its type is a problem."""
    found = []
    for source in container.all("dataObject"):
        name = source.attributes.get("name") or source.id
        reference = source.attributes.get("itemSubjectRef", "")
        text = _value(source)
        kind = _type(reference, reader)
        if kind is not None and not source.attributes.get("name", "").strip():
            reader.problem(source, "expected the data object to have a name, for it becomes a variable, found none")
        if not text:
            # One without a value is null if its type is known, as in Flowable; of no known type, it is only a drawing.
            if kind is not None:
                found.append(DataObject(id=source.id, name=name, type=NULL, value=None))
            continue
        kind = kind or STRING
        try:
            found.append(DataObject(id=source.id, name=name, type=kind, value=_typed(kind, text)))
        except (ValueError, msgspec.DecodeError):
            reader.problem(source, f"expected a value of type {kind}, found '{text}'")
    return tuple(found)


def _value(source: Source) -> str | None:
    found = next(source.extensions("value"), None)
    return found.text.strip() if found is not None else None


def _type(reference: str, reader: Reader) -> str | None:
    item = reader.referenced("itemDefinition", reference) if reference else None
    structure = item.attributes.get("structureRef", "") if item is not None else reference
    return XSD_TYPES.get(structure.split(":")[-1].lower())


def _typed(kind: str, text: str) -> Any:
    match kind:
        case "integer" | "long":
            return int(text)
        case "double":
            return float(text)
        case "boolean":
            return text.lower() == "true"
        case "date":
            return parse_datetime(text)
        case "json":
            return msgspec.json.decode(text)
        case _:
            return text
