"""Variables of the contract and variables of the kernel, both ways.

What `value` holds for each `type` stands at `Variable` in `variable.proto`; this is the code of that table. A value
that does not fit is refused with INVALID_ARGUMENT, naming the variable, what was expected and what was found.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from flowloom.engine.v1 import variable_pb2
from google.protobuf import struct_pb2

from engine.kernel.values import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT32_MAX,
    INT32_MIN,
    INTEGER,
    JSON,
    LONG,
    NULL,
    STRING,
    Value,
    Variable,
    parse_datetime,
)
from mesh.errors import FieldViolation, InvalidArgument

MAX_NAME_CHARACTERS: Final = 255
MAX_EXACT: Final = 2**53 - 1
"""The largest whole number below which every whole number is a double of its own."""
INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
LOCAL, GLOBAL = "local", "global"

_NULL_VARIABLE: Final = Variable(NULL, None)
_TRUE: Final = Variable(BOOLEAN, True)
_FALSE: Final = Variable(BOOLEAN, False)
_SPECIAL_DOUBLES: Final = MappingProxyType({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf})


class Unfit(Exception):
    """A value that does not fit its type; the text says what was expected and what was found."""


# --- from the contract ------------------------------------------------------------------------------------------------


def read_variables(messages: Iterable[variable_pb2.Variable], field: str = "variables") -> dict[str, Variable]:
    """Return the variables by name; of two with the same name the last one counts.

    Raises InvalidArgument for a name or value that cannot be read; `field` is where they stand in the request.
    """
    found: dict[str, Variable] = {}
    for index, message in enumerate(messages):
        found[message.name] = read_variable(message, f"{field}[{index}]")
    return found


def read_scoped(
    messages: Iterable[variable_pb2.Variable], default: str, field: str = "variables"
) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """Return the global and the local variables by name; those without a scope have the default one."""
    globals_: dict[str, Variable] = {}
    locals_: dict[str, Variable] = {}
    for index, message in enumerate(messages):
        place = f"{field}[{index}]"
        scope = read_scope(message.scope, default, f"{place}.scope")
        (locals_ if scope == LOCAL else globals_)[message.name] = read_variable(message, place)
    return globals_, locals_


def read_scope(given: str, default: str = "", field: str = "scope") -> str:
    """Return `local`, `global`, or the default if none is given. Raises InvalidArgument for any other word."""
    if not given:
        return default
    lowered = given.lower()
    if lowered not in (LOCAL, GLOBAL):
        found = f"expected scope local or global, found '{given}'"
        raise InvalidArgument("unknown-scope", found, violations=[FieldViolation(field, found)], scope=given)
    return lowered


def read_variable(message: variable_pb2.Variable, field: str = "variable") -> Variable:
    """Return one variable. Raises InvalidArgument for a name or value that cannot be read."""
    name = message.name
    if not name or len(name) > MAX_NAME_CHARACTERS:
        found = "none" if not name else f"{len(name)}"
        raise _refused(name, field, f"expected a variable name of 1 to {MAX_NAME_CHARACTERS} characters, found {found}")
    return read_typed(message.type, message.value, name, field)


def read_typed(type_name: str, value: struct_pb2.Value, name: str, field: str = "value") -> Variable:
    """Return a value as a variable of the given type (empty: of the one that the value has)."""
    try:
        if not type_name:
            return read_untyped(value)
        reader = _READERS.get(type_name)
        if reader is None:
            raise Unfit(f"expected a type of {', '.join(sorted(_READERS))}, found '{type_name}'")
        kind = value.WhichOneof("kind")
        # Flowable too stores a typed null as null, whatever its type says.
        return _NULL_VARIABLE if kind is None or kind == "null_value" else reader(value, kind)
    except Unfit as unfit:
        raise _refused(name, field, f"variable '{name}': {unfit}") from unfit


def read_untyped(value: struct_pb2.Value) -> Variable:
    """Return a value as a variable of the type that it has by itself."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return Variable(STRING, value.string_value)
    if kind == "number_value":
        return _untyped_number(value.number_value)
    if kind == "bool_value":
        return _TRUE if value.bool_value else _FALSE
    if kind is None or kind == "null_value":
        return _NULL_VARIABLE
    return Variable(JSON, from_value(value))


def from_value(value: struct_pb2.Value) -> Value:
    """Return JSON as plain Python; whole numbers that a double holds exactly become int, others float."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return {name: from_value(inner) for name, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [from_value(inner) for inner in value.list_value.values]
    return None


def _number(number: float) -> int | float:
    return int(number) if number.is_integer() and -MAX_EXACT <= number <= MAX_EXACT else number


def _untyped_number(number: float) -> Variable:
    # Beyond 2^53 the digits that the client wrote are lost already; what is left is honestly a double.
    if number.is_integer() and -MAX_EXACT <= number <= MAX_EXACT:
        whole = int(number)
        return Variable(INTEGER if INT32_MIN <= whole <= INT32_MAX else LONG, whole)
    return Variable(DOUBLE, number)


def _refused(name: str, field: str, message: str) -> InvalidArgument:
    return InvalidArgument("invalid-variable", message, violations=[FieldViolation(field, message)], name=name)


def _said(value: struct_pb2.Value, kind: str) -> str:
    """What was found, short enough for a message."""
    if kind == "string_value":
        text = value.string_value
        return f"the string '{text if len(text) <= 40 else text[:40] + '…'}'"
    if kind == "number_value":
        return f"the number {_number(value.number_value)}"
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return "an object" if kind == "struct_value" else "an array"


def _string(value: struct_pb2.Value, kind: str) -> Variable:
    if kind != "string_value":
        raise Unfit(f"expected a string, found {_said(value, kind)}")
    return Variable(STRING, value.string_value)


def _whole(value: struct_pb2.Value, kind: str, least: int, most: int) -> int:
    if kind != "number_value":
        raise Unfit(f"expected a whole number, found {_said(value, kind)}")
    number = value.number_value
    if not number.is_integer():
        raise Unfit(f"expected a whole number, found {number}")
    if not least <= number <= most:
        raise Unfit(f"expected a whole number from {least} to {most}, found {int(number)}")
    return int(number)


def _integer(value: struct_pb2.Value, kind: str) -> Variable:
    return Variable(INTEGER, _whole(value, kind, INT32_MIN, INT32_MAX))


def _short(value: struct_pb2.Value, kind: str) -> Variable:
    return Variable(INTEGER, _whole(value, kind, INT16_MIN, INT16_MAX))


def _long(value: struct_pb2.Value, kind: str) -> Variable:
    if kind != "string_value":
        return Variable(LONG, _whole(value, kind, -MAX_EXACT, MAX_EXACT))
    text = value.string_value
    digits = text.removeprefix("-")
    # 19 digits hold every number of 64 bits; int() would take underscores, spaces and endless text as well.
    whole = int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else None
    if whole is None or not INT64_MIN <= whole <= INT64_MAX:
        raise Unfit(f"expected a whole number of 64 bits, found {_said(value, kind)}")
    return Variable(LONG, whole)


def _double(value: struct_pb2.Value, kind: str) -> Variable:
    if kind == "number_value":
        return Variable(DOUBLE, value.number_value)
    special = _SPECIAL_DOUBLES.get(value.string_value) if kind == "string_value" else None
    if special is None:
        raise Unfit(f"expected a number, found {_said(value, kind)}")
    return Variable(DOUBLE, special)


def _boolean(value: struct_pb2.Value, kind: str) -> Variable:
    if kind != "bool_value":
        raise Unfit(f"expected true or false, found {_said(value, kind)}")
    return _TRUE if value.bool_value else _FALSE


def _date(value: struct_pb2.Value, kind: str) -> Variable:
    if kind != "string_value":
        raise Unfit(f"expected an ISO 8601 date as a string, found {_said(value, kind)}")
    try:
        return Variable(DATE, parse_datetime(value.string_value).astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise Unfit(f"expected an ISO 8601 date, found {_said(value, kind)}") from error


def _json(value: struct_pb2.Value, kind: str) -> Variable:
    del kind
    return Variable(JSON, from_value(value))


def _binary(value: struct_pb2.Value, kind: str) -> Variable:
    if kind != "string_value":
        raise Unfit(f"expected base64 as a string, found {_said(value, kind)}")
    try:
        return Variable(BINARY, base64.b64decode(value.string_value, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Unfit(f"expected base64, found {_said(value, kind)}") from error


def _null(value: struct_pb2.Value, kind: str) -> Variable:
    raise Unfit(f"expected null, found {_said(value, kind)}")


_READERS: Final[Mapping[str, Callable[[struct_pb2.Value, str], Variable]]] = MappingProxyType(
    {
        STRING: _string,
        INTEGER: _integer,
        "short": _short,
        LONG: _long,
        DOUBLE: _double,
        BOOLEAN: _boolean,
        DATE: _date,
        "instant": _date,
        "localDate": _date,
        "localDateTime": _date,
        JSON: _json,
        BINARY: _binary,
        NULL: _null,
    }
)


# --- to the contract --------------------------------------------------------------------------------------------------


def write_variable(name: str, variable: Variable, scope: str = "", value_url: str = "") -> variable_pb2.Variable:
    """Return a variable as the contract has it; `value_url` is used for a binary one only, whose bytes stay away."""
    message = variable_pb2.Variable(name=name, type=variable.type)
    if scope:
        message.scope = scope
    if variable.type == BINARY:
        if value_url:
            message.value_url = value_url
    else:
        fill_value(message.value, variable)
    return message


def fill_value(target: struct_pb2.Value, variable: Variable) -> None:
    """Write a variable's value into a message field."""
    value = variable.value
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif variable.type == LONG and not -MAX_EXACT <= value <= MAX_EXACT:
        target.string_value = str(value)
    else:
        to_value(value, target)


def to_value(value: Value, target: struct_pb2.Value) -> None:
    """Write plain Python into a message field. Raises TypeError for what is not a value."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.number_value = value
    elif isinstance(value, float):
        if math.isfinite(value):
            target.number_value = value
        else:
            target.string_value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        fields: Any = target.struct_value.fields
        for name, inner in value.items():
            to_value(inner, fields[name])
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        values: Any = target.list_value.values
        for inner in value:
            to_value(inner, values.add())
    elif isinstance(value, datetime):
        target.string_value = date_text(value)
    else:
        raise TypeError(f"expected a variable value, found {type(value).__name__}")


def date_text(moment: datetime) -> str:
    """Return an instant in UTC with milliseconds, such as `2026-01-01T12:00:00.000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
