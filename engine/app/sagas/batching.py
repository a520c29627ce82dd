"""What a command of a batch means for sagas, to be written with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from engine.app.sagas.state import Change
from engine.app.unit_of_work import CompletionSagas, EncodeEvents
from engine.kernel import events as ev
from engine.kernel.state import COMPLETED, Tree


class SagaWorld(Protocol):
    """What a batch is given of the world, as far as sagas need it."""

    @property
    def completions(self) -> CompletionSagas | None: ...

    @property
    def encode_events(self) -> EncodeEvents: ...


def told_of_sagas(world: SagaWorld, tree: Tree | None, events: Sequence[ev.Event], at: datetime) -> list[Change]:
    """Each instance that completed begins one."""
    if world.completions is None or tree is None:
        return []
    changes = [
        world.completions.of(tree.instances[event.instance_id], at)
        for event in events
        if event.__class__ is ev.ProcessInstanceEnded and event.state == COMPLETED
    ]
    for change in changes:
        if change.events:
            saga = change.saga
            name = f"{saga.id}/{saga.number}"
            change.payload = world.encode_events(saga.root_id or saga.id, name, saga.tenant_id, at, change.events)
    return changes
