"""What the end of an instance means for sagas: made within the batch of the command that ended it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from engine.app.sagas import machine
from engine.app.sagas.declarations import COMPLETION
from engine.app.sagas.state import MESSAGE, TRANSACTION, Change, Participant, Saga, StepRequested
from engine.kernel import events as ev
from engine.kernel.state import COMPLETED, FAILED, Instance

_NOBODY = COMPLETION.plan()


class Participants:
    """The registered participants, at hand for every writer; replaced as a whole when they change."""

    def __init__(self) -> None:
        self._known: tuple[Participant, ...] = ()

    def replace(self, known: Sequence[Participant]) -> None:
        """From now on these."""
        self._known = tuple(sorted(known, key=lambda one: (one.position, one.name, one.id)))

    def of(self, saga_name: str, definition_key: str, tenant_id: str) -> list[Participant]:
        """Who takes part, in order. Of two with one name the one for just this definition does."""
        found: dict[str, Participant] = {}
        for one in self._known:
            if one.saga_name == saga_name and one.definition_key in ("", definition_key):
                if one.tenant_id not in ("", tenant_id) or (one.name in found and not one.definition_key):
                    continue
                found[one.name] = one
        return sorted(found.values(), key=lambda one: (one.position, one.name))


class Completions:
    """Makes the completion saga of an instance. Called by writers' threads; only reads what others replace."""

    def __init__(
        self,
        participants: Participants,
        *,
        owner: str,
        new_id: Callable[[], str],
        lease: timedelta,
        has_room: Callable[[], bool],
    ) -> None:
        """`has_room`: whether this process can take further sagas under its hands at once."""
        self._participants = participants
        self._owner = owner
        self._new_id = new_id
        self._lease = lease
        self._has_room = has_room

    def of(self, instance: Instance, at: datetime) -> Change:
        """The saga of an instance that has just completed; its id is the instance's."""
        found = self._participants.of(COMPLETION.name, instance.definition_key, instance.tenant_id)
        saga = Saga(
            id=instance.id,
            name=COMPLETION.name,
            created_at=at,
            root_id=instance.root_id,
            instance_id=instance.id,
            definition_key=instance.definition_key,
            tenant_id=instance.tenant_id,
            plan=COMPLETION.plan(found) if found else _NOBODY,
            data=_facts(instance, at) if found else {},
        )
        lines = machine.begin(saga, at)
        events: tuple[ev.Event, ...] = ()
        if saga.is_open and self._has_room():
            hold(saga, self._owner, self._new_id(), at + self._lease)
            lines += machine.start_step(saga, at)
            events = requests_of(saga, at)
        return Change(saga=saga, lines=lines, events=events, is_new=True)


def hold(saga: Saga, owner: str, token: str, until: datetime) -> None:
    """A process has the saga under its hands."""
    saga.owner, saga.token, saga.lease_until = owner, token, until


def let_go(saga: Saga) -> None:
    """Nobody has the saga under their hands; it goes on when it is due."""
    saga.owner = saga.token = ""
    saga.lease_until = None


def requests_of(saga: Saga, now: datetime) -> tuple[ev.Event, ...]:
    """After the step at hand was begun: by message it is asked for with the same transaction, and nobody holds it."""
    step = saga.step
    if step.kind != MESSAGE:
        return ()
    machine.wait_for_word(saga, now)
    let_go(saga)
    request = StepRequested(
        instance_id=saga.instance_id,
        saga_id=saga.id,
        saga_name=saga.name,
        step_id=saga.step_id(step),
        step_name=step.name,
        action=saga.action,
        attempt=saga.attempts,
        topic=step.target,
        tenant_id=saga.tenant_id,
        data=saga.data,
    )
    return (request,)


def verdict(saga: Saga, *, was_open: bool) -> tuple[ev.Event, ...]:
    """What the end of a completion saga says of its instance: failed, or completed after all."""
    if saga.name != COMPLETION.name or saga.is_open or not was_open or not saga.plan:
        return ()
    has_outside = any(step.kind != TRANSACTION for step in saga.plan)
    if not has_outside or (saga.state == "COMPLETED" and saga.round == 1):
        return ()
    at = datetime.fromisoformat(saga.data["ended_at"])
    failed = saga.state != "COMPLETED"
    return (
        ev.ProcessInstanceEnded(
            instance_id=saga.instance_id,
            at=at,
            state=FAILED if failed else COMPLETED,
            end_element_id=str(saga.data.get("end_activity_id", "")),
            reason=saga.error if failed else "",
        ),
    )


def _facts(instance: Instance, at: datetime) -> dict[str, Any]:
    return {
        "process_instance_id": instance.id,
        "root_process_instance_id": instance.root_id,
        "process_definition_id": instance.definition_id,
        "process_definition_key": instance.definition_key,
        "process_definition_version": instance.definition_version,
        "business_key": instance.business_key,
        "name": instance.name,
        "start_user_id": instance.start_user_id,
        "started_at": instance.started_at.isoformat() if instance.started_at is not None else "",
        "ended_at": at.isoformat(),
        "end_activity_id": instance.end_element_id,
        "state": COMPLETED,
    }
