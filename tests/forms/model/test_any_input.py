"""Whatever comes in as a model or as values: it is taken, or refused with its faults; nothing else ever happens."""

import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from forms.model.form import CONTAINERS, TYPES
from forms.model.limits import FormLimits
from forms.model.reading import UnreadableForm, read_form
from forms.model.submission import Accepted, Submission, check

TEXTS = st.sampled_from(
    ["", "a", "5", "1e999", "-0.50", "2026-02-30", "2026-02-28", "true", "${a}", "(a+)+", "[", "ö" * 9]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
RULES = (
    *("name", "required", "readOnly", "enabled", "visible", "ignored", "params", "value", "expression"),
    *("minLength", "maxLength", "regexPattern", "minValue", "maxValue", "minDate", "maxDate", "fractionLength"),
)
OPTIONS = st.just([{"name": "a"}, {"id": "5", "name": "b"}])
FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(TYPES - CONTAINERS)), "id": st.sampled_from("abcde")},
    optional={"options": OPTIONS | JSON, **dict.fromkeys(RULES, TEXTS | JSON)},
)
CONTAINER = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(CONTAINERS)), "fields": st.dictionaries(TEXTS, st.lists(FIELDS, max_size=1)) | JSON}
)
ENOUGH = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@ENOUGH
@given(st.lists(FIELDS | CONTAINER, max_size=2), st.dictionaries(st.sampled_from("abcdef"), JSON, max_size=4))
def test_a_model_is_read_or_refused_and_so_are_values(fields: Any, values: Any) -> None:
    model = {"key": "f", "fields": fields, "outcomes": [{"id": "a"}]}
    try:
        form = read_form(json.dumps(model).encode(), FormLimits())
    except UnreadableForm as unreadable:
        event("model refused")
        assert unreadable.faults
        return

    found = check(form, Submission(values=values, outcome="a"), 1024 * 1024)

    if isinstance(found, Accepted):
        event("values taken")
        assert found.variables["form_f_outcome"].value == "a"
        assert found.variables.keys() <= {field.id for field in form.fields} | {"form_f_outcome"}
    else:
        event("values refused")
        assert all(fault.place.startswith("fields.") and fault.description for fault in found)


@ENOUGH
@given(JSON)
def test_any_json_is_a_form_or_refused(model: Any) -> None:
    try:
        read_form(json.dumps(model).encode(), FormLimits())
    except UnreadableForm as unreadable:
        assert unreadable.faults
