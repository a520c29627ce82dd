"""A saga as a value: its plan, where it stands, and the lines of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.kernel.events import Event

STARTED, COMPENSATING, COMPLETED, COMPENSATED = "STARTED", "COMPENSATING", "COMPLETED", "COMPENSATED"
FAILED, CLOSED, RETRIED = "FAILED", "CLOSED", "RETRIED"
STATES: Final = (STARTED, COMPENSATING, COMPLETED, COMPENSATED, FAILED, CLOSED)
OPEN_STATES: Final = (STARTED, COMPENSATING)
BAD_STATES: Final = (COMPENSATED, FAILED)
"""Ended, and a person may have them done anew or leave them so."""

READY, BEGUN, WAITING = "ready", "begun", "waiting"
"""Phases of the step at hand: to be started; started, its outcome unknown; started, to be confirmed."""

RPC, MESSAGE, COMMAND, TRANSACTION = "rpc", "message", "command", "transaction"
UNTIL_DONE: Final = 0
"""A step with so many tries is tried until it succeeds."""

EXECUTE, COMPENSATE = "execute", "compensate"


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step as it was planned when the saga began.

    `target`: of rpc an address or the name of a service, of message the topic's last part, else empty. `pivot`: once it
    is done the saga goes forward only.
    """

    name: str
    kind: str
    target: str = ""
    timeout_seconds: float = 10.0
    tries: int = 4
    compensates: bool = False
    pivot: bool = False


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the log. `step_id` is empty for what concerns the saga as a whole."""

    number: int
    step_id: str
    state: str
    attempt: int
    started_at: datetime
    ended_at: datetime
    error: str = ""


class Saga(msgspec.Struct, kw_only=True):
    """One saga. `position` is the step at hand: forwards the next to be done, `backwards` the next to be taken back.

    `attempts` counts how often it was started, `failures` how often it failed. `number` is the log's last. `due_at`:
    when it goes on by itself, if it is open. `owner` and `token` name the process that has it under its hands.
    """

    id: str
    name: str
    created_at: datetime
    root_id: str = ""
    instance_id: str = ""
    definition_key: str = ""
    task_id: str = ""
    tenant_id: str = ""
    state: str = STARTED
    plan: tuple[PlannedStep, ...] = ()
    data: dict[str, Any] = {}
    position: int = 0
    backwards: bool = False
    phase: str = READY
    round: int = 1
    attempts: int = 0
    failures: int = 0
    number: int = 0
    error: str = ""
    step_started_at: datetime | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None
    owner: str = ""
    token: str = ""
    lease_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether it goes on by itself."""
        return self.state in OPEN_STATES

    @property
    def step(self) -> PlannedStep:
        """The step at hand. Raises IndexError if there is none."""
        if self.position < 0:
            raise IndexError(self.position)
        return self.plan[self.position]

    @property
    def action(self) -> str:
        """What is being done with the step at hand."""
        return COMPENSATE if self.backwards else EXECUTE

    def step_id(self, step: PlannedStep) -> str:
        """What participants know the step by: its name, from the second round on with the round's number."""
        return step.name if self.round == 1 else f"{step.name}~{self.round}"


class StepRequested(Event, frozen=True, kw_only=True, gc=False):
    """A participant by message is asked to do a step or to take it back."""

    saga_id: str
    saga_name: str
    step_id: str
    step_name: str
    action: str
    attempt: int
    topic: str
    tenant_id: str
    data: Mapping[str, Any]


class Change(msgspec.Struct, kw_only=True):
    """What one step of a saga's way writes, in one transaction: its row, lines of its log, events for the bus.

    `held_token` is the token under which the saga must still be held; empty for a new saga. `payload`: the events as
    the outbox keeps them.
    """

    saga: Saga
    lines: Sequence[LogLine]
    events: Sequence[Event] = ()
    held_token: str = ""
    is_new: bool = False
    payload: bytes = b""


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who takes part in a saga. Exactly one of `target` (host:port) and `topic` is given."""

    id: str
    name: str
    saga_name: str
    definition_key: str = ""
    target: str = ""
    topic: str = ""
    timeout_seconds: float = 10.0
    tries: int = 4
    position: int = 0
    compensates: bool = True
    tenant_id: str = ""
    created_at: datetime
