"""A message and those who wait for it, while others are at it too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.app.correlation import ATTEMPTS, CorrelateAsk, Correlation
from engine.kernel.commands import Command, DeliverMessage
from engine.kernel.errors import NOT_FOUND, Refused
from engine.kernel.values import variables_of
from tests.engine.rpc.world import CATCH_MESSAGE, START_BY_MESSAGE, Mesh, running

Intrusion = Callable[[DeliverMessage], Coroutine[Any, Any, None]]


class Faster:
    """The group commit, with somebody who comes first before each message is delivered."""

    def __init__(self, mesh: Mesh, come_first: Intrusion) -> None:
        self._mesh = mesh
        self._come_first = come_first
        self.delivered = 0

    async def submit(self, command: Command, *, request_id: str = "") -> Mapping[str, Any]:
        """Let the other one come first."""
        if isinstance(command, DeliverMessage):
            self.delivered += 1
            await self._come_first(command)
        return await self._mesh.group.submit(command, request_id=request_id)


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """The services of an engine of one's own."""
    async with running(tmp_path) as found:
        yield found


async def test_a_message_whose_subscription_was_taken_goes_to_the_one_that_waits_now(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    taken = await mesh.start("catching")
    started: list[str] = []

    async def come_first(command: DeliverMessage) -> None:
        if not started:
            await mesh.group.submit(DeliverMessage(execution_id=command.execution_id, name=command.name))
            started.append(await mesh.start("catching"))

    found = await Correlation(Faster(mesh, come_first), mesh.queries, mesh.starting).correlate(
        CorrelateAsk(name="paid")
    )

    assert found.process_instance_id == started[0]
    assert await mesh.task_names(taken) == ["After"]


async def test_a_message_gives_up_if_somebody_is_always_faster(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    await mesh.start("catching")

    async def come_first(command: DeliverMessage) -> None:
        await mesh.group.submit(DeliverMessage(execution_id=command.execution_id, name=command.name))
        await mesh.start("catching")

    faster = Faster(mesh, come_first)
    with pytest.raises(Refused) as refused:
        await Correlation(faster, mesh.queries, mesh.starting).correlate(CorrelateAsk(name="paid"))

    assert (refused.value.status, faster.delivered) == (NOT_FOUND, ATTEMPTS)


async def test_a_waiting_instance_comes_before_a_start(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE, START_BY_MESSAGE.replace('name="order"', 'name="paid"'))
    waiting = await mesh.start("catching")

    found = await Correlation(mesh.group, mesh.queries, mesh.starting).correlate(CorrelateAsk(name="paid"))

    assert (found.process_instance_id, found.started) == (waiting, False)


async def test_a_message_stays_within_its_tenant(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    await mesh.deploy(CATCH_MESSAGE, tenant_id="acme")
    await mesh.start("catching")
    wanted = await mesh.start("catching", tenant_id="acme")

    found = await Correlation(mesh.group, mesh.queries, mesh.starting).correlate(
        CorrelateAsk(name="paid", tenant_id="acme")
    )

    assert found.process_instance_id == wanted


async def test_the_answer_names_who_got_the_message_also_when_it_is_repeated(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")
    execution_id = await mesh.execution_at(instance_id, "e1")
    correlation = Correlation(mesh.group, mesh.queries, mesh.starting)
    ask = CorrelateAsk(name="paid", transient_variables=variables_of({"a": 1}), request_id="r")

    first = await correlation.correlate(ask)
    again = await correlation.correlate(ask)

    assert (first.process_instance_id, first.execution_id) == (instance_id, execution_id)
    assert again == first
    assert await mesh.values(instance_id) == {}
