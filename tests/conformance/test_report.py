"""The report: a line for each failure, a table, the sums."""

from __future__ import annotations

from tests.conformance.loading import Case
from tests.conformance.reading import Reading
from tests.conformance.report import all_passed, failure_line, reading_lines, summary, table
from tests.conformance.running import Outcome


def outcome(case_id: str, tier: int, failure: str = "") -> Outcome:
    return Outcome(case=Case(id=case_id, tier=tier), failure=failure)


OUTCOMES = [
    outcome("a/x", 1),
    outcome("a/y", 1, "step 2: expected 1, found 2"),
    outcome("bb/z", 3),
    outcome("bb/q", 0, "!"),
]


def test_a_failure_names_case_step_and_what_was_found() -> None:
    assert failure_line(OUTCOMES[1]) == "FAIL a/y: step 2: expected 1, found 2"


def test_the_table_counts_by_area_and_tier() -> None:
    lines = [line.split() for line in table(OUTCOMES)]

    assert lines[1:] == [
        ["area", "tier", "1", "tier", "2", "tier", "3", "all"],
        ["a", "1/2", "-", "-", "1/2"],
        ["bb", "-", "-", "1/1", "1/2"],
        ["all", "areas", "1/2", "-", "1/1", "2/4"],
    ]


def test_the_last_line_counts_cases_and_models_that_failed() -> None:
    readings = [Reading(name="m", deployed=True), Reading(name="n", failure="crash")]

    assert summary(OUTCOMES, readings) == "2 passed, 3 failed"
    assert summary([OUTCOMES[0]]) == "1 passed, 0 failed"


def test_only_a_run_without_any_failure_has_passed() -> None:
    assert all_passed([OUTCOMES[0]], [Reading(name="m", refusal="line 5")])
    assert not all_passed([OUTCOMES[1]])
    assert not all_passed([OUTCOMES[0]], [Reading(name="m", failure="crash")])


def test_models_that_were_only_read_have_a_section() -> None:
    readings = [
        Reading(name="miwg/a", deployed=True),
        Reading(name="miwg/b", refusal="line 5"),
        Reading(name="miwg/c", failure="crash"),
    ]

    assert reading_lines(readings) == [
        "FAIL models/miwg/c: crash",
        "",
        "models read: 2 of 3 (1 deployed, 1 refused precisely)",
    ]
    assert reading_lines([]) == []
