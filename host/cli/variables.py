"""Variables on the command line: `name=value`, `name:type=value`, or a JSON object of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from flowloom.engine.v1.variable_pb2 import Variable
from google.protobuf.json_format import ParseDict

VariableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--variable",
        "-v",
        metavar="NAME=VALUE",
        help="A variable; its type is seen from the value, or told as name:type=value. May be repeated.",
    ),
]
VariablesJsonOption = Annotated[
    str,
    typer.Option("--variables-json", metavar="JSON", help="Variables as one JSON object, or @file with one."),
]

WHOLE: Final = re.compile(r"[+-]?\d+")
DECIMAL: Final = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")
MAX_EXACT: Final = 2**53 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def read_variables(given: Sequence[str] | None, as_json: str = "") -> list[Variable]:
    """Return the variables of a command line. Raises typer.BadParameter for what cannot be read."""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in _json_object(as_json).items():
        found[name] = _typed(value)
    for text in given or ():
        name, type_name, value_text = _split(text)
        found[name] = _told(type_name, value_text, name) if type_name else _inferred(value_text)
    return [
        ParseDict({"name": name, "type": type_name, "value": value}, Variable())
        for name, (type_name, value) in found.items()
    ]


def _split(text: str) -> tuple[str, str, str]:
    declared, equals, value = text.partition("=")
    name, _, type_name = declared.partition(":")
    if not equals or not name:
        raise typer.BadParameter(f"expected name=value or name:type=value, found '{text}'")
    return name, type_name, value


def _inferred(text: str) -> tuple[str, Any]:
    """Return type and value as the text looks: a number, true, false, null, a JSON object or array, else a string."""
    if text in ("true", "false"):
        return "boolean", text == "true"
    if text == "null":
        return "null", None
    if WHOLE.fullmatch(text):
        whole = int(text)
        # More digits than 64 bits hold are a number to nobody: an account, a phone.
        return _whole(whole) if INT64_MIN <= whole <= INT64_MAX else ("string", text)
    if DECIMAL.fullmatch(text):
        return "double", float(text)
    if text.startswith(("{", "[")):
        try:
            return "json", json.loads(text)
        except ValueError:
            return "string", text
    return "string", text


def _told(type_name: str, text: str, name: str) -> tuple[str, Any]:
    reader = _READERS.get(type_name)
    if reader is None:
        raise typer.BadParameter(f"expected {name} of type {', '.join(_READERS)}, found '{type_name}'")
    try:
        return type_name, reader(text)
    except (ValueError, OSError) as unfit:
        raise typer.BadParameter(f"expected {name} as {type_name}, found '{text}' ({unfit})") from unfit


def _json_object(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        read = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (ValueError, OSError) as unreadable:
        raise typer.BadParameter(f"expected a JSON object of variables, found '{text}' ({unreadable})") from unreadable
    if not isinstance(read, dict):
        raise typer.BadParameter(f"expected a JSON object of variables, found '{text}'")
    return read


def _typed(value: Any) -> tuple[str, Any]:
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        return "double", value
    return ("string" if isinstance(value, str) else "json"), value


def _whole(value: int) -> tuple[str, Any]:
    if INT32_MIN <= value <= INT32_MAX:
        return "integer", value
    # Numbers of JSON are exact up to here only, so the API takes longer ones as text.
    return "long", value if abs(value) <= MAX_EXACT else str(value)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def _null(text: str) -> None:
    if text not in ("", "null"):
        raise ValueError("expected nothing or null")


def _binary(text: str) -> str:
    """Base64 as it is, or `@file`."""
    if text.startswith("@"):
        return base64.b64encode(Path(text[1:]).read_bytes()).decode()
    base64.b64decode(text, validate=True)
    return text


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": int,
    "long": lambda text: _whole(int(text))[1],
    "double": float,
    "boolean": _boolean,
    "date": str,
    "json": json.loads,
    "binary": _binary,
    "null": _null,
}
