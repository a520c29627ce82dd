"""Variables as the contract writes them; the table of types stands at `Variable` in `variable.proto`.

Values to compare with come in as queries give them; what does not fit its type is refused with INVALID_ARGUMENT.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from flowloom.engine.v1 import variable_pb2
from google.protobuf import struct_pb2

from history.app.queries import Condition
from history.model.ids import variable_id
from history.model.records import Value, Variable
from mesh.paging import refuse

MAX_EXACT: Final = 2**53 - 1
"""The largest whole number below which every whole number is a double of its own."""
DATA_PATH: Final = "/process-api/history/historic-variable-instances/{id}/data"

_INTEGERS: Final[Mapping[str, tuple[int, int]]] = {
    "short": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
}
_DATES: Final = frozenset(("date", "instant", "localDate", "localDateTime"))
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def id_of(record: Variable) -> str:
    """The id that clients see."""
    return variable_id(record.task_id or record.execution_id, record.name)


def write_variable(record: Variable) -> variable_pb2.Variable:
    """The variable; of a binary one only where its bytes are."""
    is_global = not record.task_id and record.execution_id == record.instance_id
    url = DATA_PATH.format(id=id_of(record))
    return written(record.name, record.type, record.value, is_global=is_global, data_url=url)


def written(name: str, kind: str, value: Value, *, is_global: bool, data_url: str) -> variable_pb2.Variable:
    """A value with its name and type; of a binary one only `data_url`, where its bytes are."""
    message = variable_pb2.Variable(name=name, type=kind, scope="global" if is_global else "local")
    if kind == "binary":
        message.value_url = data_url
    elif kind == "long" and value is not None and abs(value) > MAX_EXACT:
        message.value.string_value = str(value)
    else:
        write_value(value, message.value)
    return message


def write_value(value: Value, target: struct_pb2.Value) -> None:
    """Write plain Python into a message field. Raises TypeError for what is no value."""
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        if math.isfinite(value):
            target.number_value = value
        else:
            target.string_value = next(word for word, number in _SPECIAL.items() if repr(number) == repr(float(value)))
    elif isinstance(value, datetime):
        moment = value.astimezone(UTC)
        target.string_value = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        fields: Any = target.struct_value.fields
        for name, inner in value.items():
            write_value(inner, fields[name])
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        values: Any = target.list_value.values
        for inner in value:
            write_value(inner, values.add())
    else:
        raise TypeError(f"expected a variable's value, found {type(value).__name__}")


def read_conditions(messages: Iterable[variable_pb2.QueryVariable], field: str) -> tuple[Condition, ...]:
    """The conditions of a query. Raises InvalidArgument for a value that does not fit its type."""
    return tuple(_read_condition(message, f"{field}[{n}]") for n, message in enumerate(messages))


def _read_condition(message: variable_pb2.QueryVariable, field: str) -> Condition:
    if not message.HasField("value"):
        return Condition(name=message.name, operation=message.operation, type="", value=None)
    kind, value = _read(message.type, message.value, f"{field}.value")
    return Condition(name=message.name, operation=message.operation, type=kind, value=value)


def _read(wanted: str, value: struct_pb2.Value, field: str) -> tuple[str, Value]:
    kind = value.WhichOneof("kind")
    if kind in (None, "null_value"):
        return "null", None
    if not wanted:
        return _untyped(value, str(kind))
    if wanted == "string" and kind == "string_value":
        return wanted, value.string_value
    if wanted == "boolean" and kind == "bool_value":
        return wanted, value.bool_value
    if wanted == "double" and (kind == "number_value" or value.string_value in _SPECIAL):
        return wanted, value.number_value if kind == "number_value" else _SPECIAL[value.string_value]
    if wanted in _INTEGERS:
        return _integer(wanted, value, str(kind), field)
    if wanted in _DATES and kind == "string_value":
        return "date", _date(value.string_value, field)
    if wanted in ("json", "binary"):
        raise refuse(field, f"expected a type that can be compared, found {wanted}")
    raise refuse(field, f"expected a known type and a value of it, found type '{wanted}' and a {kind}")


def _untyped(value: struct_pb2.Value, kind: str) -> tuple[str, Value]:
    if kind == "string_value":
        return "string", value.string_value
    if kind == "bool_value":
        return "boolean", value.bool_value
    if kind == "number_value":
        number = value.number_value
        if not number.is_integer() or abs(number) > MAX_EXACT:
            return "double", number
        least, most = _INTEGERS["integer"]
        return ("integer" if least <= number <= most else "long"), int(number)
    return "json", None


def _integer(wanted: str, value: struct_pb2.Value, kind: str, field: str) -> tuple[str, Value]:
    least, most = _INTEGERS[wanted]
    found: int | None = None
    if kind == "number_value" and value.number_value.is_integer():
        found = int(value.number_value)
    elif kind == "string_value" and wanted == "long":
        text = value.string_value.removeprefix("-")
        # int() would also take spaces, underscores and texts without end.
        if text.isascii() and text.isdigit() and len(text) <= 19:
            found = int(value.string_value)
    if found is None or not least <= found <= most:
        raise refuse(field, f"expected a whole number from {least} to {most}, found another value")
    return ("long" if wanted == "long" else "integer"), found


def _date(text: str, field: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise refuse(field, f"expected an ISO 8601 date, found '{text[:40]}'") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
