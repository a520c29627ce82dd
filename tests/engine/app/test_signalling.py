"""To how many a signal goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.app.signalling import SignalAsk, Signalling
from engine.kernel.commands import SuspendInstance
from engine.kernel.errors import Refused
from tests.engine.rpc.world import CATCH_SIGNAL, Mesh, bpmn, running, sequence

CALLER = bpmn("caller", sequence('<callActivity id="e1" calledElement="listening"/>'))


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """The services of an engine of one's own."""
    async with running(tmp_path) as found:
        yield found


async def test_a_signal_inside_an_instance_counts_those_that_it_called(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL, CALLER)
    instance_id = await mesh.start("caller")
    await mesh.start("listening")

    delivered = await Signalling(mesh.group, mesh.queries).send(
        SignalAsk(name="alarm", process_instance_id=instance_id)
    )

    assert delivered == 1


async def test_a_repeated_signal_inside_an_instance_is_delivered_once(mesh: Mesh) -> None:
    twice = bpmn(
        "twice",
        sequence(
            *[
                f'<intermediateCatchEvent id="e{n}"><signalEventDefinition signalRef="s"/></intermediateCatchEvent>'
                for n in (1, 2)
            ]
        ),
        '<signal id="s" name="alarm"/>',
    )
    await mesh.deploy(twice)
    instance_id = await mesh.start("twice")
    ask = SignalAsk(name="alarm", process_instance_id=instance_id, request_id="r")

    await Signalling(mesh.group, mesh.queries).send(ask)
    await Signalling(mesh.group, mesh.queries).send(ask)

    assert await mesh.execution_at(instance_id, "e2")


async def test_a_repeated_broadcast_is_delivered_once(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    ask = SignalAsk(name="alarm", request_id="r")
    await mesh.start("listening")
    await Signalling(mesh.group, mesh.queries).send(ask)
    later = await mesh.start("listening")

    await Signalling(mesh.group, mesh.queries).send(ask)

    assert await mesh.task_names(later) == []


async def test_a_suspended_instance_is_not_signalled(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    instance_id = await mesh.start("listening")
    await mesh.group.submit(SuspendInstance(instance_id=instance_id))

    with pytest.raises(Refused, match="found it suspended"):
        await Signalling(mesh.group, mesh.queries).send(SignalAsk(name="alarm", process_instance_id=instance_id))
