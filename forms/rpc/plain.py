"""JSON of the contract (google.protobuf.Struct and Value) and plain Python, both ways; typed values as variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from flowloom.engine.v1 import variable_pb2
from google.protobuf import struct_pb2

from forms.model.values import LONG, NULL, TypedValue

MAX_EXACT: Final = 2**53 - 1
"""The largest whole number below which every whole number is a double of its own."""


def read_struct(message: struct_pb2.Struct) -> dict[str, Any]:
    """Return an object as a dictionary."""
    return {name: read_value(value) for name, value in message.fields.items()}


def read_value(value: struct_pb2.Value) -> Any:
    """Return any JSON; whole numbers that a double holds exactly become int."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and -MAX_EXACT <= number <= MAX_EXACT else number
    if kind == "struct_value":
        return read_struct(value.struct_value)
    if kind == "list_value":
        return [read_value(each) for each in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def write_struct(found: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return a dictionary of JSON values as an object."""
    message = struct_pb2.Struct()
    for name, value in found.items():
        write_value(value, message.fields[name])
    return message


def write_value(value: Any, target: struct_pb2.Value) -> None:
    """Write any JSON value, or a moment as text."""
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, datetime):
        target.string_value = moment_text(value)
    elif isinstance(value, Mapping):
        target.struct_value.CopyFrom(write_struct(value))
    elif isinstance(value, Sequence):
        target.list_value.SetInParent()
        for each in value:
            write_value(each, target.list_value.values.add())
    else:
        raise TypeError(f"expected a JSON value, found {type(value).__name__}")


def write_variables(values: Mapping[str, TypedValue]) -> list[variable_pb2.Variable]:
    """Return typed values as variables, in their order."""
    return [_variable(name, value) for name, value in values.items()]


def _variable(name: str, typed: TypedValue) -> variable_pb2.Variable:
    message = variable_pb2.Variable(name=name, type=typed.type)
    if typed.type == NULL:
        message.value.null_value = struct_pb2.NULL_VALUE
    elif typed.type == LONG and not -MAX_EXACT <= int(str(typed.value)) <= MAX_EXACT:
        message.value.string_value = str(typed.value)
    else:
        write_value(typed.value, message.value)
    return message


def day_or_plain(typed: TypedValue) -> Any:
    """Return a kept value as people read it: a date as its day, a number that no double holds as text."""
    value = typed.value
    if isinstance(value, datetime):
        return value.date().isoformat()
    if typed.type == LONG and isinstance(value, int) and not -MAX_EXACT <= value <= MAX_EXACT:
        return str(value)
    return value


def moment_text(moment: datetime) -> str:
    """Return an instant in UTC with milliseconds, such as `2026-01-01T12:00:00.000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
