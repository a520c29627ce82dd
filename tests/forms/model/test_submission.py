"""Submissions against their form: bounds, conversion, all faults at once."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from forms.model.faults import Fault
from forms.model.limits import FormLimits
from forms.model.reading import read_form
from forms.model.submission import Accepted, FieldState, Submission, check

PATTERN_BYTES = 1024 * 1024


def submit(fields: Any, values: Any, outcome: str = "", **states: FieldState) -> Accepted | list[Fault]:
    model = {"key": "f", "fields": fields, "outcomes": [{"id": "ok", "name": "All right"}]}
    form = read_form(json.dumps(model).encode(), FormLimits())
    return check(form, Submission(values=values, outcome=outcome, states=states), PATTERN_BYTES)


def accepted(kind: str, value: Any, **field: Any) -> tuple[str, Any]:
    found = submit([{"id": "x", "type": kind, **field}], {"x": value})
    assert isinstance(found, Accepted), found
    typed = found.variables["x"]
    return typed.type, typed.value


def fault(kind: str, value: Any, **field: Any) -> str:
    found = submit([{"id": "x", "type": kind, **field}], {"x": value})
    assert isinstance(found, list), found
    assert [each.place for each in found] == ["fields.x"]
    return found[0].description


OPTIONS = {"options": [{"name": "small"}, {"id": "l", "name": "large"}]}


@pytest.mark.parametrize(
    ("kind", "value", "field", "wanted"),
    [
        ("text", "Ann", {"minLength": 3, "maxLength": 3, "regexPattern": "[A-Z][a-z]+"}, ("string", "Ann")),
        ("multi-line-text", "a\nb", {}, ("string", "a\nb")),
        ("password", "secret", {}, ("string", "secret")),
        ("hyperlink", "https://example.org/a?b=c", {}, ("string", "https://example.org/a?b=c")),
        ("integer", 5, {"minValue": 5, "maxValue": 5}, ("integer", 5)),
        ("integer", 5.0, {}, ("integer", 5)),
        ("integer", " 5 ", {}, ("integer", 5)),
        ("integer", 2**31, {}, ("long", 2**31)),
        ("integer", str(2**63 - 1), {}, ("long", 2**63 - 1)),
        ("decimal", "0.1", {}, ("double", 0.1)),
        ("amount", 12.5, {"params": {"fractionLength": 1}}, ("double", 12.5)),
        ("amount", "-3", {"minValue": -3}, ("double", -3.0)),
        ("boolean", True, {}, ("boolean", True)),
        ("boolean", "false", {}, ("boolean", False)),
        ("date", "2026-02-28", {"minDate": "2026-02-28"}, ("date", datetime(2026, 2, 28, tzinfo=UTC))),
        ("date", "2026-02-28T23:30:00-05:00", {}, ("date", datetime(2026, 2, 28, tzinfo=UTC))),
        ("dropdown", "small", OPTIONS, ("string", "small")),
        ("radio-buttons", "large", OPTIONS, ("string", "l")),
        ("dropdown", {"id": "l", "name": "large"}, OPTIONS, ("string", "l")),
        ("people", {"id": "kermit"}, {}, ("string", "kermit")),
        ("functional-group", "sales", {}, ("string", "sales")),
        ("upload", ["c1", {"id": "c2"}], {}, ("string", "c1,c2")),
        ("upload", "c1,c2", {}, ("string", "c1,c2")),
        ("integer", None, {}, ("null", None)),
        ("text", "", {}, ("string", "")),
        ("date", "", {}, ("null", None)),
    ],
)
def test_values_are_converted_by_the_type_of_their_field(kind: str, value: Any, field: Any, wanted: Any) -> None:
    assert accepted(kind, value, **field) == wanted


@pytest.mark.parametrize(
    ("kind", "value", "field", "said"),
    [
        ("text", 5, {}, "expected text, found 5"),
        ("text", "ab", {"minLength": 3}, "at least 3 characters"),
        ("text", "abcd", {"maxLength": 3}, "at most 3 characters"),
        ("text", "ann", {"regexPattern": "[A-Z]+"}, "matches [A-Z]+, found 'ann'"),
        ("hyperlink", "javascript:alert(1)", {}, "a link of http"),
        ("integer", "5.5", {}, "a whole number, found '5.5'"),
        ("integer", 5.5, {}, "a whole number, found 5.5"),
        ("integer", True, {}, "a whole number, found true"),
        ("integer", "1" * 30, {}, "a whole number"),
        ("integer", float("nan"), {}, "a whole number"),
        ("integer", 31, {"maxValue": 30}, "at most 30, found 31"),
        ("integer", 0, {"minValue": 1}, "at least 1, found 0"),
        ("decimal", "1,5", {}, "a number, found '1,5'"),
        ("decimal", float("inf"), {}, "a number, found inf"),
        ("decimal", "1e999", {}, "a number that a double can hold"),
        ("decimal", "0.1234567890123456789", {}, "at most 15 significant digits, found 19"),
        ("amount", "1.255", {"params": {"fractionLength": 2}}, "at most 2 digits after the point, found 3"),
        ("boolean", "yes", {}, "true or false"),
        ("date", "28.2.2026", {}, "a day such as"),
        ("date", "2026-02-30", {}, "a day such as"),
        ("date", "2026-02-27", {"minDate": "2026-02-28"}, "not before 2026-02-28"),
        ("date", "2026-03-01", {"maxDate": "2026-02-28"}, "not after 2026-02-28"),
        ("dropdown", "huge", OPTIONS, "one of small, l, found 'huge'"),
        ("radio-buttons", ["small"], OPTIONS, "one of small, l, found a list"),
        ("people", {"name": ""}, {}, "an id of 1 to 255"),
        ("upload", [""], {}, "ids of uploaded content"),
        ("text", "  ", {"required": True}, "a value, found none"),
        ("boolean", None, {"required": True}, "a value, found none"),
        ("text", "x", {"readOnly": True}, "no value, for it is read only"),
        ("text", "x", {"visible": False}, "no value, for it is not asked for"),
        ("headline", "x", {}, "no value, for it only shows something"),
    ],
)
def test_a_value_that_does_not_fit_says_what_was_expected_and_found(
    kind: str, value: Any, field: Any, said: str
) -> None:
    assert said in fault(kind, value, **field)


def test_all_faults_are_told_at_once_in_the_order_of_the_form() -> None:
    fields = [
        {"id": "name", "type": "text", "required": True},
        {"id": "days", "type": "integer"},
        {"id": "good", "type": "text"},
    ]

    found = submit(fields, {"days": "many", "good": "yes", "stranger": 1}, outcome="never")

    assert isinstance(found, list)
    assert [each.place for each in found] == ["fields.name", "fields.days", "fields.stranger", "outcome"]


def test_a_field_that_was_not_submitted_and_is_not_required_sets_nothing() -> None:
    found = submit([{"id": "x", "type": "text"}], {})

    assert isinstance(found, Accepted)
    assert found.variables == {}


def test_an_outcome_becomes_the_variable_of_the_form() -> None:
    by_id, by_name = submit([], {}, outcome="ok"), submit([], {}, outcome="All right")

    assert isinstance(by_id, Accepted)
    assert isinstance(by_name, Accepted)
    assert by_id.variables["form_f_outcome"].value == "ok"
    assert by_name.variables["form_f_outcome"].value == "All right"


def test_a_password_reaches_the_process_and_is_not_kept() -> None:
    found = submit([{"id": "pin", "type": "password"}, {"id": "x", "type": "text"}], {"pin": "1234", "x": "y"})

    assert isinstance(found, Accepted)
    assert set(found.variables) == {"pin", "x"}
    assert set(found.kept) == {"x"}


def test_a_wrong_password_is_not_told() -> None:
    assert "hunter" not in fault("password", "hunter", regexPattern="[0-9]+")


def test_an_expression_counts_as_it_was_evaluated_and_never_lifts_what_the_model_says() -> None:
    asked = [{"id": "x", "type": "text", "required": "${must}"}]
    fixed = [{"id": "x", "type": "text", "required": True}]

    assert isinstance(submit(asked, {}), Accepted)
    assert isinstance(submit(asked, {}, x=FieldState(required=True)), list)
    assert isinstance(submit(fixed, {}, x=FieldState(required=False)), list)


def test_options_of_an_expression_are_those_that_were_evaluated() -> None:
    field = [{"id": "x", "type": "dropdown", "optionsExpression": "${sizes}"}]

    assert isinstance(submit(field, {"x": "m"}, x=FieldState(options=("s", "m"))), Accepted)
    assert isinstance(submit(field, {"x": "xl"}, x=FieldState(options=("s", "m"))), list)
    assert isinstance(submit(field, {"x": "m"}), list)


def test_a_hostile_pattern_and_text_take_no_time() -> None:
    assert "matches" in fault("text", "a" * 50_000 + "!", regexPattern="(a+)+")
