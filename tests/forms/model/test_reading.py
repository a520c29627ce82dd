"""Form models: what is read, and that every fault is told at once."""

import json
from typing import Any

import pytest

from forms.model.form import TYPES, Form
from forms.model.limits import FormLimits
from forms.model.reading import UnreadableForm, read_form


def read(model: Any, **limits: int) -> Form:
    return read_form(json.dumps(model).encode(), FormLimits(**limits))


def faults(model: Any, **limits: int) -> dict[str, str]:
    with pytest.raises(UnreadableForm) as caught:
        read(model, **limits)
    return {fault.place: fault.description for fault in caught.value.faults}


def one(**field: Any) -> dict[str, Any]:
    return {"key": "f", "fields": [{"id": "x", "type": "text", **field}]}


def test_a_form_as_flowables_modeler_writes_it_is_read_with_the_fields_of_its_containers() -> None:
    form = read(
        {
            "key": "order",
            "name": "Order",
            "version": 0,
            "fields": [
                {"fieldType": "FormField", "id": "label", "name": "Order", "type": "headline", "value": None},
                {
                    "fieldType": "ContainerRepresentation",
                    "id": "box",
                    "type": "container",
                    "fields": {
                        "1": [{"id": "name", "type": "text", "required": True, "maxLength": "20", "params": {}}],
                        "2": [
                            {
                                "id": "inner",
                                "type": "container",
                                "fields": {"1": [{"id": "price", "type": "amount", "params": {"fractionLength": 2}}]},
                            }
                        ],
                    },
                },
                {
                    "fieldType": "OptionFormField",
                    "id": "size",
                    "type": "dropdown",
                    "options": [{"name": "small"}, {"id": "l", "name": "large"}],
                },
                {"id": "line", "type": "horizontal-line"},
            ],
            "outcomes": [{"id": "send", "name": "Send"}],
            "outcomeVariableName": "how",
        }
    )

    assert [(field.id, field.type) for field in form.fields] == [
        ("label", "headline"),
        ("name", "text"),
        ("price", "amount"),
        ("size", "dropdown"),
        ("line", "horizontal-line"),
    ]
    assert (form.fields[1].required, form.fields[1].max_length, form.fields[2].fraction_digits) == (True, 20, 2)
    assert [option.value for option in form.fields[3].options] == ["small", "l"]
    assert form.variable_of_outcome() == "how"
    assert read({"key": "order"}).variable_of_outcome() == "form_order_outcome"


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type_of_field_can_be_read(kind: str) -> None:
    field: dict[str, Any] = {"id": "x", "type": kind}
    if kind in ("dropdown", "radio-buttons"):
        field["options"] = [{"name": "a"}]
    if kind == "expression":
        field["expression"] = "${a}"

    assert read({"key": "f", "fields": [field]}).key == "f"


def test_all_faults_of_a_model_are_told_at_once_by_the_ids_of_their_fields() -> None:
    found = faults(
        {
            "name": "no key",
            "fields": [
                {"id": "a", "type": "text", "minLength": 5, "maxLength": 2},
                {"id": "b", "type": "text", "regexPattern": "(?=x)"},
                {"id": "c", "type": "integer", "minValue": "many"},
                {"id": "d", "type": "dropdown"},
                {"id": "e", "type": "date", "minDate": "31.1.2026"},
                {"id": "f", "type": "hologram"},
                {"id": "a", "type": "text"},
                {"type": "text"},
                {"id": "g", "type": "text", "required": "perhaps"},
                {"id": "h", "type": "expression"},
                7,
            ],
            "outcomes": [{}],
        }
    )

    assert sorted(found) == [
        "fields.a",
        "fields.a.minLength",
        "fields.b.regexPattern",
        "fields.c.minValue",
        "fields.d.options",
        "fields.e.minDate",
        "fields.f",
        "fields.g.required",
        "fields.h.expression",
        "fields[10]",
        "fields[7]",
        "key",
        "outcomes[0]",
    ]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"key": "x", "fields": 7}'])
def test_what_is_no_form_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableForm):
        read_form(data, FormLimits())


def test_conditions_are_known_or_an_expression() -> None:
    assert read(one(required="true")).fields[0].required is True
    assert read(one(readOnly=True)).fields[0].read_only is True
    assert read(one(enabled=False)).fields[0].read_only is True
    assert read(one(visible=False)).fields[0].ignored is True
    assert read(one(visible="${amount > 5}")).fields[0].ignored == "${amount > 5}"


@pytest.mark.parametrize(
    ("limit", "model"),
    [
        ("model_bytes", {"key": "x" * 200}),
        ("fields", {"key": "f", "fields": [{"id": str(n), "type": "text"} for n in range(60)]}),
        ("options", one(type="dropdown", options=[{"name": str(n)} for n in range(60)])),
        ("outcomes", {"key": "f", "outcomes": [{"name": str(n)} for n in range(60)]}),
    ],
)
def test_every_limit_names_itself(limit: str, model: Any) -> None:
    assert any(f"limit: {limit}" in said for said in faults(model, **{limit: 50}).values())


def test_containers_nest_up_to_a_limit() -> None:
    inner: dict[str, Any] = {"id": "x", "type": "text"}
    for number in range(4):
        inner = {"id": f"c{number}", "type": "container", "fields": {"1": [inner]}}

    assert read({"key": "f", "fields": [inner]}, nesting=4).fields[0].id == "x"
    assert "limit: nesting" in faults({"key": "f", "fields": [inner]}, nesting=3)["fields.c0"]
