"""Form models with what only the engine knows: present values, and what expressions come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from engine.app.form_context import Evaluation, is_expression
from engine.app.forms import FieldState, FormInfo
from engine.kernel.here import to_text

MAX_DEPTH: Final = 100
"""Containers in containers; the forms service takes far fewer."""
CONTAINERS: Final = ("container", "group")
TEXTS: Final = ("name", "label", "placeholder", "description", "tooltip")
CONDITIONS: Final = ("required", "readOnly", "readonly", "enabled", "visible", "ignored", "ignore")


def rendered(form: FormInfo, values: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    """Return a form's model with values in its fields; expressions that fail leave their place empty or as it was.

    `values` are those of variables or of a submission, by field id.
    """
    model = dict(form.model)
    for name in ("name", "description"):
        model[name] = _label(model.get(name), evaluation)
    model["fields"] = _fields(model.get("fields") or [], values, evaluation, 0)
    return {name: value for name, value in model.items() if value is not None}


def field_states(form: FormInfo, evaluation: Evaluation) -> list[FieldState]:
    """Return the state of every field with an expression that a submission must know of."""
    states = []
    for field in leaves(form.model.get("fields") or []):
        state = FieldState(
            id=str(field.get("id", "")),
            required=_condition(field, evaluation, "required"),
            read_only=_condition(field, evaluation, "readOnly", "readonly", but_not="enabled"),
            ignored=_condition(field, evaluation, "ignored", "ignore", but_not="visible"),
            options=tuple(
                str(each.get("id") or each.get("name")) for each in _options(field.get("optionsExpression"), evaluation)
            ),
        )
        if state != FieldState(id=state.id):
            states.append(state)
    return states


def writable_values(
    form: FormInfo, given: Mapping[str, Any], present: Mapping[str, Any], evaluation: Evaluation
) -> dict[str, Any]:
    """Return what is submitted without the read-only fields that came back as they were shown.

    Clients send whole forms. A read-only value that was changed stays, so that it is refused.
    """
    shown = {str(field.get("id", "")): field for field in leaves(form.model.get("fields") or [])}
    kept = {}
    for name, value in given.items():
        field = shown.get(name)
        if field is None or not _is_read_only(field, evaluation) or value != _value(field, present, evaluation):
            kept[name] = value
    return kept


def leaves(fields: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of a model, those of containers in their place."""
    if depth > MAX_DEPTH:
        return
    columns = fields.values() if isinstance(fields, Mapping) else [fields]
    for column in columns:
        for field in column:
            if isinstance(field, list):
                yield from leaves(field, depth + 1)
            elif field.get("type") in CONTAINERS:
                yield from leaves(field.get("fields") or [], depth + 1)
            else:
                yield field


def plain(value: Any) -> Any:
    """Return a variable's value as JSON has it: a date as ISO text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return None
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _fields(found: Any, values: Mapping[str, Any], evaluation: Evaluation, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return found
    if isinstance(found, Mapping):
        return {column: _fields(fields, values, evaluation, depth + 1) for column, fields in found.items()}
    return [
        _fields(each, values, evaluation, depth + 1)
        if isinstance(each, list)
        else _field(each, values, evaluation, depth)
        for each in found
    ]


def _field(field: Mapping[str, Any], values: Mapping[str, Any], evaluation: Evaluation, depth: int) -> dict[str, Any]:
    shown = dict(field)
    for name in TEXTS:
        if name in field:
            shown[name] = _label(field[name], evaluation)
    for name in CONDITIONS:
        if is_expression(field.get(name)):
            shown[name] = _truth(evaluation.value(field[name]))
    if field.get("type") in CONTAINERS:
        shown["fields"] = _fields(field.get("fields") or [], values, evaluation, depth + 1)
        return shown
    options = _options(field.get("optionsExpression"), evaluation)
    if options:
        shown["options"] = options
    shown["value"] = _value(field, values, evaluation)
    return shown


def _value(field: Mapping[str, Any], values: Mapping[str, Any], evaluation: Evaluation) -> Any:
    field_id = str(field.get("id", ""))
    if field_id in values and field.get("type") not in ("expression", "password"):
        value = values[field_id]
        # The day alone is what a date field shows and takes.
        day = field.get("type") == "date" and isinstance(value, date)
        return value.isoformat()[:10] if day else plain(value)
    given = field.get("expression") if field.get("type") == "expression" and "expression" in field else None
    given = field.get("value") if given is None else given
    return plain(evaluation.value(str(given))) if is_expression(given) else given


def _label(text: Any, evaluation: Evaluation) -> Any:
    """Text whose expression fails stays as it was written."""
    if not is_expression(text):
        return text
    value = evaluation.value(text)
    return text if value is None else to_text(value)


def _condition(field: Mapping[str, Any], evaluation: Evaluation, *names: str, but_not: str = "") -> bool | None:
    found = [_truth(evaluation.value(field[name])) for name in names if is_expression(field.get(name))]
    if but_not and is_expression(field.get(but_not)):
        found.append(not _truth(evaluation.value(field[but_not])))
    return any(found) if found else None


def _is_read_only(field: Mapping[str, Any], evaluation: Evaluation) -> bool:
    evaluated = _condition(field, evaluation, "readOnly", "readonly", but_not="enabled")
    return bool(
        evaluated or _is(field, True, "readOnly", "readonly") or _is(field, False, "enabled") or not _carries(field)
    )


def _carries(field: Mapping[str, Any]) -> bool:
    return field.get("type") not in ("expression", "headline", "headline-with-line", "spacer", "horizontal-line")


def _is(field: Mapping[str, Any], wanted: bool, *names: str) -> bool:
    return any(field.get(name) is wanted or field.get(name) == str(wanted).lower() for name in names)


def _truth(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def _options(expression: Any, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Options from a list of texts or of objects with id and name."""
    if not is_expression(expression):
        return []
    value = evaluation.value(expression)
    found = []
    for each in value if isinstance(value, list | tuple) else ():
        if isinstance(each, Mapping) and (each.get("id") or each.get("name")):
            found.append({"id": each.get("id"), "name": each.get("name") or each.get("id")})
        elif isinstance(each, str | int):
            found.append({"id": str(each), "name": str(each)})
    return found
