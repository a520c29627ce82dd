"""Every saga in one place: its steps in order, what takes each back, how long it may take, how often it is tried.

`completion`: a process instance has ended. The end is recorded and published in the transaction of the command that
ended it; with nobody registered for the definition, that was all. Otherwise the participants confirm one after the
other. If one of them fails for good, those before it take back what they did, last first, and the instance is published
as failed.

`form-submission`: what a person fills in is kept by the service of forms, the task is completed (or the instance
started) with the values that the form gave, and the submission is confirmed. When the engine refuses, it is discarded.
Once the engine has committed there is no way back, so the confirmation is tried until it succeeds. Its first two steps
are the caller's: they are done in its call, and only logged; a saga whose caller died goes on by what was committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.app.sagas.state import COMMAND, MESSAGE, RPC, TRANSACTION, UNTIL_DONE, Participant, PlannedStep

EACH_PARTICIPANT: Final = "participants"
"""Stands for a step of each participant that is registered when the saga begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step. `kind`: rpc, command, transaction or `EACH_PARTICIPANT`.

    `service` names who does it (rpc), or who can tell whether it was done when its caller is gone (command).
    `compensates`: it can be taken back. `pivot`: once it is done the saga goes forward only. `tries`: 0 is until it
    succeeds.
    """

    name: str
    kind: str
    service: str = ""
    compensates: bool = False
    pivot: bool = False
    timeout_seconds: float = 10.0
    tries: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A saga."""

    name: str
    steps: tuple[Step, ...]

    def plan(self, participants: Sequence[Participant] = ()) -> tuple[PlannedStep, ...]:
        """The steps of a saga that begins now."""
        planned: list[PlannedStep] = []
        for step in self.steps:
            if step.kind == EACH_PARTICIPANT:
                planned += [_of_participant(one) for one in participants]
            else:
                planned.append(
                    PlannedStep(
                        name=step.name,
                        kind=step.kind,
                        target=step.service,
                        timeout_seconds=step.timeout_seconds,
                        tries=step.tries,
                        compensates=step.compensates,
                        pivot=step.pivot,
                    )
                )
        return tuple(planned)


def _of_participant(one: Participant) -> PlannedStep:
    return PlannedStep(
        name=one.name,
        kind=RPC if one.target else MESSAGE,
        target=one.target or one.topic,
        timeout_seconds=one.timeout_seconds,
        tries=one.tries,
        compensates=one.compensates,
    )


RECORD, PUBLISH = "record", "publish"

COMPLETION: Final = Declaration(
    name="completion",
    steps=(
        Step(name=RECORD, kind=TRANSACTION),
        # What takes it back is the event that the instance failed, written with the saga's last line.
        Step(name=PUBLISH, kind=TRANSACTION, compensates=True),
        Step(name="confirm", kind=EACH_PARTICIPANT, compensates=True),
    ),
)

PREPARE, SUBMIT, CONFIRM = "prepare", "submit", "confirm"

FORM_SUBMISSION: Final = Declaration(
    name="form-submission",
    steps=(
        Step(name=PREPARE, kind=RPC, service="forms", compensates=True),
        Step(name=SUBMIT, kind=COMMAND, service="forms", pivot=True),
        Step(name=CONFIRM, kind=RPC, service="forms", tries=UNTIL_DONE),
    ),
)

DECLARATIONS: Final[Mapping[str, Declaration]] = MappingProxyType(
    {declared.name: declared for declared in (COMPLETION, FORM_SUBMISSION)}
)
"""All sagas by name."""
