"""Erasing a person takes their id, and on request their values, off all that they submitted."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from flowloom.forms.v1 import form_service_pb2 as pb
from sqlalchemy import select

from forms.app import erasing
from forms.storage import tables
from mesh.access import Principal
from mesh.access.contract import Rule
from mesh.access.control import OpenAccess
from tests.forms.test_submitting import confirm, discard
from tests.forms.worlds import World, form, plain, refused, struct


class Told(OpenAccess):
    """An `Access` whose caller the test chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.principal = Principal(privileges=frozenset("*"))

    async def admit(self, rule: Rule, metadata: Iterable[Any]) -> Principal:
        return self.principal


@pytest.fixture
async def told(url: str) -> AsyncIterator[tuple[World, Told]]:
    access = Told()
    world = World(url, access=access)
    await world.start()
    await world.deploy(form())
    yield world, access
    await world.stop()


def everything(world: World) -> dict[str, str]:
    """What every table holds, as text."""
    with world.service._database.reader.connect() as reader:
        return {table.name: str(reader.execute(select(table)).all()) for table in tables.metadata.sorted_tables}


async def erase(world: World, user_id: str, *, with_values: bool = False, request_id: str = "") -> tuple[Any, int]:
    request = pb.ErasePersonRequest(user_id=user_id, with_values=with_values, request_id=request_id)
    answer = await world.forms.ErasePerson(request)
    return dict(answer.removed), answer.open


async def submit(world: World, reason: str, request_id: str = "") -> None:
    request = pb.CreateFormInstanceRequest(form_key="leave", values=struct({"reason": reason}), request_id=request_id)
    await world.forms.CreateFormInstance(request)


async def test_nothing_that_was_submitted_tells_of_the_person(told: tuple[World, Told]) -> None:
    world, access = told
    access.principal = Principal(user_id="anna-berg", privileges=frozenset("*"))
    await submit(world, "Annabell is tired", "r-1")
    await world.prepare({"reason": "Annabell is ill"}, saga="done", user_id="anna-berg")
    await world.forms.ConfirmSubmission(confirm("done"))
    await world.prepare({"reason": "Annabell is lost"}, saga="gone", user_id="anna-berg")
    await world.forms.DiscardSubmission(discard("gone"))
    access.principal = Principal(user_id="admin", privileges=frozenset("*"))
    await submit(world, "sun", "r-2")

    erased = await erase(world, "anna-berg", with_values=True, request_id="r-3")
    again = await erase(world, "anna-berg", with_values=True)
    retried = await erase(world, "anna-berg", with_values=True, request_id="r-3")

    after = await asyncio.to_thread(everything, world)
    assert {name: text for name, text in after.items() if "anna-berg" in text or "nnabell" in text} == {}
    assert erased == retried == ({"submission": 3, "values": 3, "answer": 1}, 0)
    assert again == ({"submission": 0, "values": 0, "answer": 0}, 0)
    kept = {each.submitted_by: plain(each.values) for each in await world.instances()}
    assert kept == {"": {}, "admin": {"reason": "sun"}}
    assert "r-2" in after["form_answered_request"]


async def test_values_stay_unless_they_are_to_go_and_a_step_that_is_open_is_left(world: World) -> None:
    await world.deploy(form())
    await world.prepare({"reason": "sun"}, saga="done", user_id="anna")
    await world.forms.ConfirmSubmission(confirm("done"))
    prepared = await world.prepare({"reason": "rain"}, saga="open", user_id="anna")

    erased = await erase(world, "anna")

    assert erased == ({"submission": 1, "values": 0, "answer": 0}, 1)
    (kept,) = await world.instances()
    assert (kept.HasField("submitted_by"), plain(kept.values)) == (False, {"reason": "sun"})
    assert await world.prepare({"reason": "rain"}, saga="open", user_id="anna") == prepared
    await world.forms.ConfirmSubmission(confirm("open"))
    assert await erase(world, "anna") == ({"submission": 1, "values": 0, "answer": 0}, 0)


async def test_a_crowd_of_submissions_is_erased_batch_by_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "BATCH", 4)
    await world.deploy(form())
    for n in range(10):
        await world.prepare({"reason": "sun"}, saga=f"s{n}", user_id="anna" if n < 9 else "piggy")
        await world.forms.ConfirmSubmission(confirm(f"s{n}"))

    assert await erase(world, "anna", with_values=True) == ({"submission": 9, "values": 9, "answer": 0}, 0)

    assert [each.submitted_by for each in await world.instances(submitted_by="piggy")] == ["piggy"]


async def test_an_erasure_needs_a_user_and_a_caller_who_sees_all_tenants(tmp_path: Path) -> None:
    access = Told()
    world = World(f"sqlite:///{tmp_path / 'forms.db'}", access=access)
    await world.start()

    assert (await refused(erase(world, ""))).reason == "no-user"
    assert (await refused(erase(world, "x" * 256))).reason == "no-user"
    for tenant_id in ("acme", ""):
        access.principal = Principal(user_id="admin", tenant_id=tenant_id, privileges=frozenset(("forms.*",)))
        assert (await refused(erase(world, "anna"))).reason == "all-tenants-needed"
    await world.stop()
