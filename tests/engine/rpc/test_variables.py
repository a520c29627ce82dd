"""Variables of the contract read and written, type by type."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from flowloom.engine.v1 import variable_pb2
from google.protobuf import json_format, struct_pb2

from engine.kernel.values import Variable
from engine.rpc.variables import read_scoped, read_variable, read_variables, write_variable
from mesh.errors import InvalidArgument


def message(value: Any, type_name: str = "", name: str = "x", scope: str = "") -> variable_pb2.Variable:
    found = variable_pb2.Variable(name=name)
    if type_name:
        found.type = type_name
    if scope:
        found.scope = scope
    json_format.ParseDict(value, found.value)
    return found


def written(variable: Variable) -> Any:
    return json_format.MessageToDict(write_variable("x", variable).value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", Variable("string", "a")),
        (True, Variable("boolean", True)),
        (None, Variable("null", None)),
        (5, Variable("integer", 5)),
        (-(2**31), Variable("integer", -(2**31))),
        (2**31, Variable("long", 2**31)),
        (2.5, Variable("double", 2.5)),
        (1e300, Variable("double", 1e300)),
        ({"a": [1, 2.5, None]}, Variable("json", {"a": [1, 2.5, None]})),
        ([], Variable("json", [])),
    ],
)
def test_a_variable_without_a_type_has_the_type_of_its_value(value: Any, expected: Variable) -> None:
    found = read_variable(message(value))

    assert found == expected
    assert type(found.value) is type(expected.value)


@pytest.mark.parametrize(
    ("type_name", "value", "expected"),
    [
        ("string", "5", Variable("string", "5")),
        ("short", 7, Variable("integer", 7)),
        ("integer", 7, Variable("integer", 7)),
        ("long", 7, Variable("long", 7)),
        ("long", "9223372036854775807", Variable("long", 2**63 - 1)),
        ("long", "-9223372036854775808", Variable("long", -(2**63))),
        ("double", 7, Variable("double", 7.0)),
        ("double", "-Infinity", Variable("double", -math.inf)),
        ("boolean", False, Variable("boolean", False)),
        ("date", "2026-02-03", Variable("date", datetime(2026, 2, 3, tzinfo=UTC))),
        ("date", "2026-02-03T10:00:00+02:00", Variable("date", datetime(2026, 2, 3, 8, tzinfo=UTC))),
        ("instant", "2026-02-03T10:00:00.5Z", Variable("date", datetime(2026, 2, 3, 10, 0, 0, 500000, tzinfo=UTC))),
        ("localDate", "2026-02-03", Variable("date", datetime(2026, 2, 3, tzinfo=UTC))),
        ("localDateTime", "2026-02-03T10:00", Variable("date", datetime(2026, 2, 3, 10, tzinfo=UTC))),
        ("json", "text", Variable("json", "text")),
        ("binary", "AQID", Variable("binary", b"\x01\x02\x03")),
        ("null", None, Variable("null", None)),
        ("string", None, Variable("null", None)),
    ],
)
def test_a_variable_with_a_type_is_read_as_that_type(type_name: str, value: Any, expected: Variable) -> None:
    assert read_variable(message(value, type_name)) == expected


@pytest.mark.parametrize(
    ("type_name", "value", "expected", "found"),
    [
        ("string", 5, "a string", "the number 5"),
        ("integer", "5", "a whole number", "the string '5'"),
        ("integer", 2.5, "a whole number", "2.5"),
        ("integer", 2**31, "-2147483648 to 2147483647", "2147483648"),
        ("short", 40000, "-32768 to 32767", "40000"),
        ("integer", True, "a whole number", "true"),
        ("long", 2**53, "to 9007199254740991", "9007199254740992"),
        ("long", "9223372036854775808", "64 bits", "9223372036854775808"),
        ("long", "1_0", "64 bits", "1_0"),
        ("long", "", "64 bits", "''"),
        ("double", "much", "a number", "'much'"),
        ("boolean", "true", "true or false", "the string 'true'"),
        ("date", "tomorrow", "ISO 8601", "tomorrow"),
        ("date", 5, "ISO 8601", "the number 5"),
        ("binary", "§", "base64", "§"),
        ("null", {}, "null", "an object"),
        ("money", 5, "json", "money"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_was_expected_and_found(
    type_name: str, value: Any, expected: str, found: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_variable(message(value, type_name, "amount"), "variables[0]")

    assert "'amount'" in str(refused.value)
    assert expected in str(refused.value)
    assert found in str(refused.value)
    assert refused.value.violations[0].field == "variables[0]"


@pytest.mark.parametrize("name", ["", "n" * 256])
def test_a_name_is_1_to_255_characters_long(name: str) -> None:
    with pytest.raises(InvalidArgument, match="1 to 255 characters"):
        read_variable(message("a", name=name))


def test_a_variable_without_a_value_is_null() -> None:
    assert read_variable(variable_pb2.Variable(name="x")) == Variable("null", None)


def test_of_two_variables_with_the_same_name_the_last_one_counts() -> None:
    found = read_variables([message(1), message(2)])

    assert found == {"x": Variable("integer", 2)}


def test_variables_are_parted_by_their_scope_and_the_default() -> None:
    globals_, locals_ = read_scoped(
        [message(1, name="a", scope="global"), message(2, name="b", scope="local"), message(3, name="c")], "local"
    )

    assert (set(globals_), set(locals_)) == ({"a"}, {"b", "c"})


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="expected scope local or global, found 'outer'"):
        read_scoped([message(1, scope="outer")], "local")


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (Variable("string", "a"), "a"),
        (Variable("integer", 5), 5.0),
        (Variable("long", 2**53 - 1), float(2**53 - 1)),
        (Variable("long", 2**53), "9007199254740992"),
        (Variable("double", math.nan), "NaN"),
        (Variable("double", math.inf), "Infinity"),
        (Variable("boolean", True), True),
        (Variable("date", datetime(2026, 2, 3, 4, 5, 6, 789123, tzinfo=UTC)), "2026-02-03T04:05:06.789Z"),
        (Variable("json", {"a": [], "b": {}}), {"a": [], "b": {}}),
        (Variable("null", None), None),
    ],
)
def test_a_variable_is_written_as_the_contract_says(variable: Variable, expected: Any) -> None:
    found = write_variable("x", variable, "local")

    assert (found.name, found.type, found.scope) == ("x", variable.type, "local")
    assert json_format.MessageToDict(found.value) == expected


def test_an_empty_object_stays_an_object() -> None:
    found = write_variable("x", Variable("json", {}))

    assert found.value.WhichOneof("kind") == "struct_value"
    assert read_variable(found) == Variable("json", {})


def test_a_binary_variable_is_written_as_the_path_of_its_bytes() -> None:
    found = write_variable("x", Variable("binary", b"\x00"), value_url="/there")

    assert found.value_url == "/there"
    assert not found.HasField("value")


def test_null_is_written_as_a_value_and_not_left_out() -> None:
    found = write_variable("x", Variable("null", None))

    assert found.value == struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    assert found.HasField("value")
