"""Form properties as people see and submit them: text in, variables out, every fault at once (Flowable's types)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.app.form_context import Evaluation, FormContext
from engine.app.form_dates import UnknownPattern, parse_date
from engine.kernel.expression import ExpressionError, MappingContext
from engine.kernel.expression.dates import format_date
from engine.kernel.form_properties import FormProperty
from engine.kernel.here import to_text
from engine.kernel.values import DATE, LONG, STRING, Value, Variable, variable_of
from mesh.errors import FieldViolation, InvalidArgument

INT64: Final = 2**63
MAX_SPOKEN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownProperty:
    """A property with its present value as text; None where it has none."""

    property: FormProperty
    value: str | None


class UnfitProperty(Exception):
    """Text that does not fit its property; the message says what was expected and found."""


def shown(properties: Sequence[FormProperty], context: FormContext) -> list[ShownProperty]:
    """Return the readable properties with their values."""
    evaluation = Evaluation(context)
    return [
        ShownProperty(property=each, value=_text(each, _present(each, context, evaluation)))
        for each in properties
        if each.readable
    ]


def submitted(
    properties: Sequence[FormProperty], given: Mapping[str, Any], context: FormContext
) -> dict[str, Variable]:
    """Return the variables that a submission sets: by name, typed.

    What is given and no property is set as it is (Flowable). Raises InvalidArgument with the faults of all properties,
    each as a violation of `properties.<id>`.
    """
    # Expressions may point into a variable: they get copies, and what they point into is set as a whole.
    target = MappingContext(dict(context.variables), now=context.now, objects=context.objects)
    found: dict[str, Variable] = {}
    faults: list[FieldViolation] = []
    for each in properties:
        try:
            value = _submitted(each, given, context)
            if value is not None:
                found |= _placed(each, value, target)
        except UnfitProperty as unfit:
            faults.append(FieldViolation(f"properties.{each.id}", str(unfit)))
    if faults:
        spoken = "; ".join(f"{fault.field}: {fault.description}" for fault in faults[:MAX_SPOKEN])
        counted = f"{len(faults)} fault" + ("s" if len(faults) > 1 else "")
        message = f"expected values that fit the form properties: found {counted}: {spoken}"
        raise InvalidArgument("form-invalid", message, violations=faults)
    known = {each.id for each in properties}
    return found | {name: variable_of(value) for name, value in given.items() if name not in known}


def _present(each: FormProperty, context: FormContext, evaluation: Evaluation) -> Value:
    if each.expression is not None:
        return evaluation.of(each.expression)
    name = each.variable or each.id
    if context.has(name):
        return context.resolve(name)
    return evaluation.of(each.default) if each.default is not None else None


def _text(each: FormProperty, value: Value) -> str | None:
    if value is None:
        return None
    if each.type == "date" and isinstance(value, datetime):
        try:
            return format_date(value, each.date_pattern)
        except ExpressionError:
            return to_text(value)
    return to_text(value)


def _submitted(each: FormProperty, given: Mapping[str, Any], context: FormContext) -> Variable | None:
    """The value of one property; None where there is nothing to set. Raises UnfitProperty."""
    if each.id in given:
        if not each.writable:
            raise UnfitProperty("expected no value, for the property is not writable")
        text = given[each.id]
        if each.required and (text is None or text == ""):
            raise UnfitProperty("expected a value, found none")
        return None if text is None else _converted(each, text)
    if each.default is not None:
        value = Evaluation(context).of(each.default)
        return None if value is None else _converted(each, value)
    if each.required:
        raise UnfitProperty("expected a value, found none")
    return None


def _converted(each: FormProperty, value: Any) -> Variable | None:
    """The value by the type of its property; empty text of anything but a string is no value (Flowable)."""
    if each.type in ("", "string"):
        return Variable(STRING, value if isinstance(value, str) else to_text(value))
    if isinstance(value, str) and not value.strip():
        return None
    reader = _READERS.get(each.type)
    return variable_of(value) if reader is None else reader(each, value)


def _long(each: FormProperty, value: Any) -> Variable:
    del each
    text = str(value).strip() if not isinstance(value, bool) else ""
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19) or not -INT64 <= int(text) < INT64:
        raise UnfitProperty(f"expected a whole number of 64 bits, found {_said(value)}")
    return Variable(LONG, int(text))


def _double(each: FormProperty, value: Any) -> Variable:
    del each
    try:
        return variable_of(float("" if isinstance(value, bool) else value))
    except (TypeError, ValueError):
        raise UnfitProperty(f"expected a number, found {_said(value)}") from None


def _boolean(each: FormProperty, value: Any) -> Variable:
    del each
    if isinstance(value, bool):
        return variable_of(value)
    if str(value).strip().lower() not in ("true", "false"):
        raise UnfitProperty(f"expected true or false, found {_said(value)}")
    return variable_of(str(value).strip().lower() == "true")


def _date(each: FormProperty, value: Any) -> Variable:
    if isinstance(value, datetime):
        return Variable(DATE, value)
    try:
        return Variable(DATE, parse_date(str(value), each.date_pattern))
    except UnknownPattern as error:
        raise UnfitProperty(str(error)) from error
    except ValueError:
        raise UnfitProperty(f"expected a date by the pattern {each.date_pattern}, found {_said(value)}") from None


def _enum(each: FormProperty, value: Any) -> Variable:
    ids = [value_id for value_id, _ in each.values]
    if value not in ids:
        raise UnfitProperty(f"expected one of {', '.join(ids)}, found {_said(value)}")
    return Variable(STRING, value)


_READERS: Final = {"long": _long, "double": _double, "boolean": _boolean, "date": _date, "enum": _enum}


def _placed(each: FormProperty, value: Variable, target: MappingContext) -> dict[str, Variable]:
    """The variables that are set when a property is: its own, or the one that its expression points into."""
    if each.variable or each.expression is None:
        return {each.variable or each.id: value}
    try:
        each.expression.assign(target, value.value)
    except ExpressionError as error:
        raise UnfitProperty(f"expected an expression that can be set, found: {error}") from error
    names = sorted(each.expression.root_names & target.variables.keys())
    if each.expression.text.strip("$#{} ") in names:
        return {each.expression.text.strip("$#{} "): value}
    return {name: variable_of(target.variables[name]) for name in names}


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else to_text(value)
    return f"'{text if len(text) <= 40 else text[:40] + '…'}'"
