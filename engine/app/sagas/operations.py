"""What people and participants do with sagas: retry, close, confirm, take part."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from engine.app.sagas import machine
from engine.app.sagas.completion import Participants, let_go, verdict
from engine.app.sagas.declarations import COMPLETION
from engine.app.sagas.orchestrator import Orchestrator
from engine.app.sagas.ports import SagaStore
from engine.app.sagas.state import (
    BAD_STATES,
    BEGUN,
    COMPENSATE,
    COMPENSATED,
    EXECUTE,
    WAITING,
    Change,
    Participant,
    Saga,
)
from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound

MAX_NOTE: Final = 1000
MAX_TRIES: Final = 100
MAX_TIMEOUT_SECONDS: Final = 30 * 86_400.0
MAX_POSITION: Final = 1_000_000
MAX_TARGET: Final = 255
MAX_TENANT: Final = 255
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?")
_TARGET: Final = re.compile(r"(dns:///|unix:)?[A-Za-z0-9_.\[\]:/-]+:[0-9]{1,5}|unix:[^\s]+")


class Word:
    """What a participant says of a step: done with a result, or why not; `final`: trying again will not help."""

    __slots__ = ("action", "error", "final", "result", "step_id")

    def __init__(
        self,
        *,
        step_id: str,
        action: str = EXECUTE,
        error: str = "",
        final: bool = False,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        self.step_id = step_id
        self.action = action
        self.error = error
        self.final = final
        self.result = result or {}


class SagaOperations:
    """Changes of sagas from outside."""

    def __init__(
        self,
        *,
        store: SagaStore,
        orchestrator: Orchestrator,
        participants: Participants,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._orchestrator = orchestrator
        self._participants = participants
        self._now = now
        self._new_id = new_id

    async def retry(self, saga_id: str, by: str, request_id: str = "") -> Saga:
        """Have a saga that came to a bad end done anew, or gone on with. Raises NotFound, FailedPrecondition."""

        def work(saga: Saga) -> Change:
            _require_bad(saga)
            lines = machine.retry(saga, self._now(), by)
            return Change(saga=saga, lines=lines)

        return await self._changed(saga_id, work, request_id)

    async def close(self, saga_id: str, by: str, note: str, request_id: str = "") -> Saga:
        """Leave a saga that came to a bad end as it is. Raises NotFound, FailedPrecondition, InvalidArgument."""
        if len(note) > MAX_NOTE:
            raise _invalid("note", f"expected a note of at most {MAX_NOTE} characters, found {len(note)}")

        def work(saga: Saga) -> Change:
            _require_bad(saga)
            told = ": ".join(part for part in (by, note) if part)
            return Change(saga=saga, lines=machine.close(saga, self._now(), told))

        return await self._changed(saga_id, work, request_id)

    async def confirm(self, saga_id: str, word: Word, request_id: str = "") -> Saga:
        """Hear a participant's word. Raises NotFound, FailedPrecondition."""
        if word.action not in (EXECUTE, COMPENSATE):
            raise _invalid("action", f"expected execute or compensate, found '{word.action}'")

        def work(saga: Saga) -> Change | None:
            if not _is_awaited(saga, word):
                return None
            now = self._now()
            if word.error:
                lines = machine.fail(saga, now, word.error, self._orchestrator.pause, final=word.final)
            else:
                lines = machine.succeed(saga, now, word.result)
            let_go(saga)
            return Change(saga=saga, lines=lines, events=verdict(saga, was_open=True))

        return await self._changed(saga_id, work, request_id)

    async def _changed(self, saga_id: str, work: Callable[[Saga], Change | None], request_id: str) -> Saga:
        saga = await self._store.change(saga_id, work, request_id)
        if saga is None:
            raise NotFound("saga-not-found", f"expected a saga with id '{saga_id}', found none", saga_id=saga_id)
        if saga.is_open and saga.due_at is not None:
            self._orchestrator.on_due(saga.due_at)
        self._orchestrator.on_published()
        return saga

    # --- participants -------------------------------------------------------------------------------------------------

    async def register(self, wanted: Participant) -> Participant:
        """Register somebody, or change the one with that name. Raises InvalidArgument."""
        _check(wanted)
        registered = await self._store.register(wanted)
        self._participants.replace(await self._store.participants())
        return registered

    async def unregister(self, participant_id: str, request_id: str = "") -> None:
        """Take somebody away. Raises NotFound."""
        if not await self._store.unregister(participant_id, request_id):
            raise NotFound(
                "saga-participant-not-found",
                f"expected a participant with id '{participant_id}', found none",
                participant_id=participant_id,
            )
        self._participants.replace(await self._store.participants())

    def new_participant(self, **fields: Any) -> Participant:
        """A participant that is to be registered."""
        return Participant(id=self._new_id(), created_at=self._now(), **fields)


def _require_bad(saga: Saga) -> None:
    if saga.state not in BAD_STATES:
        raise FailedPrecondition(
            "saga-not-ended-badly",
            f"expected saga {saga.id} to be {' or '.join(BAD_STATES)}, found it {saga.state}",
            saga_id=saga.id,
        )


def _is_awaited(saga: Saga, word: Word) -> bool:
    """Tell whether the saga waits for this word; False if it heard it before. Raises NotFound, FailedPrecondition."""
    index = next((n for n, step in enumerate(saga.plan) if saga.step_id(step) == word.step_id), -1)
    if index < 0 and not any(step.name == word.step_id.partition("~")[0] for step in saga.plan):
        raise NotFound(
            "saga-step-not-found",
            f"expected saga {saga.id} to have a step '{word.step_id}', found none",
            saga_id=saga.id,
        )
    goes_back = word.action == COMPENSATE
    # Also while its call is under way: a participant may be quicker than its own answer.
    if saga.is_open and saga.phase in (BEGUN, WAITING) and index == saga.position and goes_back == saga.backwards:
        return True
    heard = goes_back and saga.backwards and saga.position < index
    heard = heard or (goes_back and saga.state == COMPENSATED)
    heard = heard or (not goes_back and not saga.backwards and 0 <= index < saga.position)
    if heard and not word.error:
        return False
    raise FailedPrecondition(
        "saga-step-not-awaited",
        f"expected saga {saga.id} to wait for {word.action} of '{word.step_id}', found it {saga.state}",
        saga_id=saga.id,
    )


def _check(wanted: Participant) -> None:
    if not _NAME.fullmatch(wanted.name):
        raise _invalid("name", f"expected a name of 1 to 64 of a-z, 0-9, dots and hyphens, found '{wanted.name}'")
    if wanted.name in {step.name for step in COMPLETION.steps}:
        raise _invalid("name", f"expected a name other than the saga's own steps, found '{wanted.name}'")
    if wanted.saga_name != COMPLETION.name:
        raise _invalid("saga_name", f"expected saga {COMPLETION.name}, found '{wanted.saga_name}'")
    if bool(wanted.target) == bool(wanted.topic):
        raise _invalid("target", "expected exactly one of target and topic, found both or none")
    if wanted.target and not (_TARGET.fullmatch(wanted.target) and len(wanted.target) <= MAX_TARGET):
        raise _invalid("target", f"expected host:port, found '{wanted.target}'")
    if wanted.topic and not _NAME.fullmatch(wanted.topic):
        raise _invalid("topic", f"expected a topic of 1 to 64 of a-z, 0-9, dots and hyphens, found '{wanted.topic}'")
    if not 0 < wanted.timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise _invalid("timeout", f"expected more than nothing, up to 30 days, found {wanted.timeout_seconds} s")
    if not 1 <= wanted.tries <= MAX_TRIES:
        raise _invalid("tries", f"expected 1 to {MAX_TRIES} tries, found {wanted.tries}")
    if not -MAX_POSITION <= wanted.position <= MAX_POSITION:
        raise _invalid("position", f"expected -{MAX_POSITION} to {MAX_POSITION}, found {wanted.position}")
    for field, value in (("process_definition_key", wanted.definition_key), ("tenant_id", wanted.tenant_id)):
        if len(value) > MAX_TENANT:
            raise _invalid(field, f"expected at most {MAX_TENANT} characters, found {len(value)}")


def _invalid(field: str, message: str) -> InvalidArgument:
    return InvalidArgument("invalid-request", message, violations=[FieldViolation(field, message)])
