"""A whole submission against its form: every fault at once, or what the process gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forms.model.faults import Fault
from forms.model.form import Condition, Field, Form
from forms.model.values import NOTHING, STRING, Rules, TypedValue, Unfit, convert, is_nothing

REQUIRED: Final = "expected a value, found none"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldState:
    """What an expression of the model came to, evaluated by whoever submits; None: as the model says."""

    required: bool | None = None
    read_only: bool | None = None
    ignored: bool | None = None
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What was submitted: plain JSON values by field id; an empty outcome means that none was chosen."""

    values: Mapping[str, Any]
    outcome: str = ""
    states: Mapping[str, FieldState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the process gets, by variable name, and what is kept of it, by field id."""

    variables: Mapping[str, TypedValue]
    kept: Mapping[str, TypedValue]


def check(form: Form, submission: Submission, pattern_bytes: int) -> Accepted | list[Fault]:
    """Check every field; returns all faults in the order of the form, or what is accepted."""
    faults: list[Fault] = []
    variables: dict[str, TypedValue] = {}
    kept: dict[str, TypedValue] = {}
    known = {each.id: each for each in form.fields if each.id}
    for each in known.values():
        rules = _rules(each, submission.states.get(each.id), pattern_bytes)
        given = each.id in submission.values
        try:
            found = _value(rules, submission.values.get(each.id), given=given)
        except Unfit as unfit:
            faults.append(Fault(f"fields.{each.id}", str(unfit)))
            continue
        if found is not None:
            variables[each.id] = found
            if each.type != "password":
                kept[each.id] = found
    strange = [name for name in submission.values if name not in known]
    faults += [Fault(f"fields.{name}", "expected a field of the form, found none with this id") for name in strange]
    faults += _outcome_faults(form, submission.outcome)
    if faults:
        return faults
    if submission.outcome:
        variables[form.variable_of_outcome()] = TypedValue(STRING, submission.outcome)
    return Accepted(variables=variables, kept=kept)


def _value(rules: Rules, value: Any, *, given: bool) -> TypedValue | None:
    """The field's value; None where nothing was given and nothing had to be. Raises Unfit."""
    if not rules.field.is_written or rules.read_only or rules.ignored:
        if given and not is_nothing(value):
            why = "it is read only" if rules.read_only else "it is not asked for"
            raise Unfit(f"expected no value, for {why if rules.field.is_written else 'it only shows something'}")
        return None
    if is_nothing(value):
        if rules.required:
            raise Unfit(REQUIRED)
        if not given:
            return None
        # Text may be empty; anything else that was emptied has no value any more.
        return TypedValue(STRING, value) if isinstance(value, str) and rules.field.type in _TEXTS else NOTHING
    return convert(rules, value)


_TEXTS: Final = ("text", "multi-line-text", "password")


def _rules(each: Field, state: FieldState | None, pattern_bytes: int) -> Rules:
    state = state or FieldState()
    options = tuple((option.id, option.name) for option in each.options)
    if each.options_expression and state.options:
        options = tuple((option, option) for option in state.options)
    return Rules(
        field=each,
        required=_known(state.required, each.required),
        read_only=_known(state.read_only, each.read_only),
        ignored=_known(state.ignored, each.ignored),
        options=options,
        pattern_bytes=pattern_bytes,
    )


def _known(evaluated: bool | None, condition: Condition) -> bool:
    """The model's word where it is one; an expression counts as it was evaluated, and as false where nobody did.

    So whoever submits can never lift what the model says outright.
    """
    if isinstance(condition, bool):
        return condition
    return bool(evaluated)


def _outcome_faults(form: Form, outcome: str) -> list[Fault]:
    if not outcome:
        return []
    offered = [option.value for option in form.outcomes]
    if any(outcome in (option.id, option.name) for option in form.outcomes):
        return []
    said = f"expected one of {', '.join(offered)}" if offered else "expected none, for the form has no outcomes"
    return [Fault("outcome", f"{said}; found '{outcome[:40]}'")]
