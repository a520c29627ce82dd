"""Variables of the command line: types as they look, types as they are told, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf.json_format import MessageToDict

from host.cli.variables import read_variables


def _read(*given: str, as_json: str = "") -> dict[str, tuple[str, Any]]:
    read = [MessageToDict(variable) for variable in read_variables(given, as_json)]
    return {each["name"]: (each["type"], each["value"]) for each in read}


@pytest.mark.parametrize(
    ("text", "type_name", "value"),
    [
        ("5", "integer", 5),
        ("-7", "integer", -7),
        ("2147483648", "long", 2147483648),
        ("9007199254740993", "long", "9007199254740993"),
        ("99999999999999999999", "string", "99999999999999999999"),
        ("2.5", "double", 2.5),
        ("1e3", "double", 1000),
        ("true", "boolean", True),
        ("True", "string", "True"),
        ("null", "null", None),
        ("", "string", ""),
        ("a=b", "string", "a=b"),
        ('{"a": [1, null]}', "json", {"a": [1, None]}),
        ("[1, 2]", "json", [1, 2]),
        ("{broken", "string", "{broken"),
        ("2026-01-01", "string", "2026-01-01"),
    ],
)
def test_the_type_is_seen_from_the_value(text: str, type_name: str, value: Any) -> None:
    assert _read(f"x={text}") == {"x": (type_name, value)}


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("string", "5", "5"),
        ("long", "5", 5),
        ("double", "5", 5),
        ("boolean", "TRUE", True),
        ("date", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("json", '"text"', "text"),
        ("binary", "aGk=", "aGk="),
        ("null", "", None),
    ],
)
def test_the_type_can_be_told(type_name: str, text: str, value: Any) -> None:
    assert _read(f"x:{type_name}={text}") == {"x": (type_name, value)}


def test_a_file_can_be_binary(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hi")

    assert _read(f"x:binary=@{tmp_path / 'f'}") == {"x": ("binary", "aGk=")}


def test_a_json_object_gives_variables_and_the_single_ones_win() -> None:
    found = _read("b=2", as_json='{"a": 1.5, "b": 1, "c": {"d": null}, "e": "5"}')

    assert found == {"a": ("double", 1.5), "b": ("integer", 2), "c": ("json", {"d": None}), "e": ("string", "5")}


def test_the_json_object_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text('{"a": true}')

    assert _read(as_json=f"@{tmp_path / 'v.json'}") == {"a": ("boolean", True)}


@pytest.mark.parametrize(
    "given", ["novalue", "=5", "x:colour=red", "x:integer=five", "x:boolean=maybe", "x:json={", "x:null=5"]
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected"):
        read_variables([given])


@pytest.mark.parametrize("given", ["[1]", "{", "@nowhere.json"])
def test_variables_json_must_be_an_object(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a JSON object"):
        read_variables(None, given)
