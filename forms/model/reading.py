"""Flowable's form model (JSON) to a `Form`, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from forms.model.faults import Fault
from forms.model.form import CHOICES, CONTAINERS, TYPES, Condition, Field, Form, Option
from forms.model.limits import FormLimits
from forms.model.reading_bounds import Bounds, is_expression, read_bounds

MAX_TEXT: Final = 255
"""Characters of a key, a name, an id."""


class UnreadableForm(Exception):
    """A model that is no form; `faults` says everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.place}: {fault.description}" for fault in faults))
        self.faults = tuple(faults)


def read_form(data: bytes, limits: FormLimits) -> Form:
    """Return the form that the JSON describes. Raises UnreadableForm with every fault, places from the model's top."""
    if len(data) > limits.model_bytes:
        found = f"expected at most {limits.model_bytes} bytes (limit: model_bytes), found {len(data)}"
        raise UnreadableForm([Fault("", found)])
    try:
        model = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableForm([Fault("", f"expected JSON, found: {error}")]) from error
    if not isinstance(model, dict):
        raise UnreadableForm([Fault("", "expected a JSON object")])
    reader = _Reader(limits)
    form = reader.form(model)
    if reader.faults:
        raise UnreadableForm(reader.faults)
    return form


class _Reader:
    """Reads one model and gathers its faults."""

    def __init__(self, limits: FormLimits) -> None:
        self.faults: list[Fault] = []
        self._limits = limits
        self._fields: list[Field] = []
        self._seen: set[str] = set()
        self._is_full = False

    def form(self, model: Mapping[str, Any]) -> Form:
        key = self._text(model, "key", "key")
        if not key:
            self._fault("key", "expected a key, found none")
        self._read_fields(model.get("fields", []), "fields", depth=0)
        return Form(
            key=key,
            name=self._text(model, "name", "name"),
            description=self._text(model, "description", "description", longest=4000),
            category=self._text(model, "category", "category"),
            fields=tuple(self._fields),
            outcomes=tuple(self._choices(model.get("outcomes"), "outcomes", self._limits.outcomes)),
            outcome_variable=self._text(model, "outcomeVariableName", "outcomeVariableName"),
            model=model,
        )

    def _read_fields(self, found: Any, place: str, depth: int) -> None:
        if not isinstance(found, list):
            self._fault(place, "expected a list of fields")
            return
        for index, each in enumerate(found):
            if self._is_full:
                return
            if not isinstance(each, dict):
                self._fault(f"{place}[{index}]", "expected a field as an object")
                continue
            self._read_field(each, f"{place}[{index}]", depth)

    def _read_field(self, found: Mapping[str, Any], position: str, depth: int) -> None:
        kind = self._text(found, "type", f"{position}.type")
        field_id = self._text(found, "id", f"{position}.id")
        if field_id:
            # From here on the field is named by its id, which whoever reads the refusal knows.
            position = f"fields.{field_id}"
        if kind not in TYPES:
            said = f"found '{kind}'" if kind else "found none"
            self._fault(position, f"expected a type of {', '.join(sorted(TYPES))}, {said}")
            return
        if kind in CONTAINERS:
            self._read_container(found, position, depth)
            return
        if not self._takes_place(field_id, kind, position):
            return
        if kind == "expression" and not isinstance(found.get("expression", found.get("value")), str):
            self._fault(f"{position}.expression", "expected an expression as text")
        self._fields.append(self._field(found, field_id, kind, position))

    def _takes_place(self, field_id: str, kind: str, position: str) -> bool:
        if len(self._fields) == self._limits.fields:
            self._fault("fields", f"expected at most {self._limits.fields} fields (limit: fields), found more")
            self._is_full = True
            return False
        if not field_id:
            # Lines and spaces need no name.
            if kind in ("spacer", "horizontal-line"):
                return True
            self._fault(position, "expected an id, found none")
            return False
        if field_id in self._seen:
            self._fault(position, "expected an id of its own, found it twice")
            return False
        self._seen.add(field_id)
        return True

    def _read_container(self, found: Mapping[str, Any], position: str, depth: int) -> None:
        if depth == self._limits.nesting:
            most = self._limits.nesting
            self._fault(position, f"expected containers nested at most {most} deep (limit: nesting), found more")
            return
        columns = found.get("fields", {})
        # A column each, by its number (Flowable), or a list of columns, or a plain list of fields.
        if isinstance(columns, dict):
            columns = list(columns.values())
        elif isinstance(columns, list) and not all(isinstance(column, list) for column in columns):
            columns = [columns]
        if not isinstance(columns, list):
            self._fault(f"{position}.fields", "expected columns of fields")
            return
        for number, column in enumerate(columns):
            self._read_fields(column, f"{position}.fields[{number}]", depth + 1)

    def _field(self, found: Mapping[str, Any], field_id: str, kind: str, position: str) -> Field:
        bounds = Bounds()
        for fault in read_bounds(found, kind, bounds, self._limits.pattern_bytes):
            self._fault(f"{position}.{fault.place}", fault.description)
        options = tuple(self._choices(found.get("options"), f"{position}.options", self._limits.options))
        expression = self._text(found, "optionsExpression", f"{position}.optionsExpression", longest=4000)
        if kind in CHOICES and not found.get("options") and not expression:
            self._fault(f"{position}.options", "expected options or an optionsExpression, found neither")
        return Field(
            id=field_id,
            type=kind,
            name=self._text(found, "name", f"{position}.name", longest=4000),
            required=self._condition(found, ("required",), position),
            read_only=self._condition(found, ("readOnly", "readonly"), position)
            or self._negated(found, "enabled", position),
            ignored=self._condition(found, ("ignored", "ignore"), position)
            or self._negated(found, "visible", position),
            options=options,
            options_expression=expression,
            min_length=bounds.min_length,
            max_length=bounds.max_length,
            pattern=bounds.pattern,
            min_value=bounds.min_value,
            max_value=bounds.max_value,
            fraction_digits=bounds.fraction_digits,
            min_date=bounds.min_date,
            max_date=bounds.max_date,
        )

    def _condition(self, found: Mapping[str, Any], names: Sequence[str], position: str) -> Condition:
        for name in names:
            value = found.get(name)
            if value is None:
                continue
            if isinstance(value, bool):
                return value
            if isinstance(value, str):
                if is_expression(value):
                    return value
                if value.lower() in ("true", "false", ""):
                    return value.lower() == "true"
            self._fault(f"{position}.{name}", "expected true, false or an expression")
        return False

    def _negated(self, found: Mapping[str, Any], name: str, position: str) -> Condition:
        if found.get(name) is None:
            return False
        value = self._condition(found, (name,), position)
        # The expression stays as it is; whoever evaluates it knows by the name that it must be negated.
        return value if isinstance(value, str) else not value

    def _choices(self, found: Any, position: str, most: int) -> Iterator[Option]:
        if found is None:
            return
        if not isinstance(found, list):
            self._fault(position, "expected a list")
            return
        if len(found) > most:
            limit = position.rpartition(".")[2]
            self._fault(position, f"expected at most {most} (limit: {limit}), found {len(found)}")
            return
        seen: set[str] = set()
        for index, each in enumerate(found):
            place = f"{position}[{index}]"
            if not isinstance(each, dict):
                self._fault(place, "expected an object with id and name")
                continue
            option = Option(id=self._text(each, "id", f"{place}.id"), name=self._text(each, "name", f"{place}.name"))
            if not option.value:
                self._fault(place, "expected an id or a name, found neither")
            elif option.value in seen:
                self._fault(place, f"expected it once, found '{option.value}' twice")
            else:
                seen.add(option.value)
                yield option

    def _text(self, found: Mapping[str, Any], name: str, position: str, longest: int = MAX_TEXT) -> str:
        value = found.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._fault(position, "expected text")
            return ""
        if len(value) > longest:
            self._fault(position, f"expected at most {longest} characters, found {len(value)}")
        return value

    def _fault(self, place: str, description: str) -> None:
        self.faults.append(Fault(place, description))
