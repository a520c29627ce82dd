"""The same searches in a real OpenSearch, fed from the stream: at least once, in any order, without what is gone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from flowloom.history.v1 import archive_service_pb2 as archive_pb
from flowloom.history.v1 import erasure_service_pb2 as erasure_pb
from flowloom.history.v1 import history_service_pb2 as history_pb
from flowloom.history.v1 import rebuild_service_pb2 as rebuild_pb
from flowloom.history.v1 import search_service_pb2 as pb

from engine.kernel import events as ev
from history.effects.opensearch import OpenSearchIndex
from history.model.search import NAME, SearchEntry
from history.settings import ArchiveSettings, SearchSettings
from mesh.testing.opensearch import OpenSearchNode, opensearch_is_installed, running_opensearch
from tests.engine.kernel.harness import BEGINNING
from tests.history.lives import LATER, live
from tests.history.worlds import Running, World

SECONDS = 60.0


@pytest.fixture(scope="module")
def node() -> Iterator[OpenSearchNode]:
    if not opensearch_is_installed():
        pytest.skip("no OpenSearch here: run make servers")
    with running_opensearch() as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(f"sqlite:///{tmp_path / 'history.db'}")


def _settings(node: OpenSearchNode, tmp_path: Path) -> dict[str, Any]:
    return {
        "search": SearchSettings(url=node.url, index=f"index-{abs(hash(tmp_path))}"),
        "archive": ArchiveSettings(url=str(tmp_path / "archive")),
        "clock": LATER,
    }


async def _started(world: World, settings: dict[str, Any]) -> Running:
    history = await world.start(**settings)
    await _caught_up(history, settings)
    return history


async def _caught_up(history: Running, settings: dict[str, Any]) -> None:
    async with asyncio.timeout(SECONDS):
        await history.caught_up()
        await history.service.search_caught_up()
    _refresh(settings)


def _refresh(settings: dict[str, Any]) -> None:
    httpx.post(f"{settings['search'].url}/{settings['search'].index}/_refresh", timeout=SECONDS).raise_for_status()


async def _found(history: Running, text: str, **more: Any) -> list[tuple[str, str]]:
    answer = await history.search.SearchHistory(pb.SearchHistoryRequest(text=text, size=100, **more))
    return sorted((one.process_instance_id, one.field) for one in answer.data)


async def test_a_rebuild_fills_the_search_engine_again(world: World, node: OpenSearchNode, tmp_path: Path) -> None:
    roots = live(world)
    settings = _settings(node, tmp_path)
    history = await _started(world, settings)
    before = await _found(history, "case")
    url = f"{settings['search'].url}/{settings['search'].index}"
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        (await client.delete(url)).raise_for_status()
    with pytest.raises(grpc.aio.AioRpcError, match="found none"):
        await _found(history, "case")

    begun = await history.rebuilds.StartRebuild(rebuild_pb.StartRebuildRequest())
    async with asyncio.timeout(SECONDS):
        request = rebuild_pb.GetRebuildRequest(rebuild_id=begun.id)
        while not (found := await history.rebuilds.GetRebuild(request)).HasField("end_time"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    _refresh(settings)

    assert found.state == "done", found.error
    assert await _found(history, "case") == before
    assert len(before) == len(roots)


async def test_the_search_engine_finds_what_the_database_finds(
    world: World, node: OpenSearchNode, tmp_path: Path
) -> None:
    roots = live(world)
    settings = _settings(node, tmp_path)
    history = await _started(world, settings)
    other = World(f"sqlite:///{tmp_path / 'other.db'}")
    other.outbox, other.engine = world.outbox, world.engine
    in_database = await other.start(clock=LATER)
    await in_database.caught_up()

    for text, more in (
        ("case", {}),
        ("CASE 2", {}),
        ("kermit", {"fields": ["variable:"]}),
        ("of kermit", {"fields": ["variable:secret"]}),
        ("11", {}),
        ("nothing", {}),
        ("review", {"fields": ["taskName"]}),
        ("case", {"tenant_id": "acme"}),
    ):
        found = await _found(history, text, **more)
        assert found == await _found(in_database, text, **more), text
        assert bool(found) == (text != "nothing" and "tenant_id" not in more)
    assert (roots[2], "name") in await _found(history, "CASE 2")
    rows = await world.contents()
    assert rows["search_term"] == []
    await other.close()
    await world.close()


async def test_pages_of_a_search_follow_each_other(world: World, node: OpenSearchNode, tmp_path: Path) -> None:
    live(world)
    history = await _started(world, _settings(node, tmp_path))

    seen: list[str] = []
    token = ""
    while True:
        page = await history.search.SearchHistory(pb.SearchHistoryRequest(text="kermit", size=3, page_token=token))
        seen += [f"{one.process_instance_id} {one.field}" for one in page.data]
        token = page.next_page_token
        if not token:
            break

    assert seen == sorted(set(seen))
    assert len(seen) == 8
    await world.close()


async def test_deleted_archived_and_erased_texts_are_found_no_more_and_restored_ones_again(
    world: World, node: OpenSearchNode, tmp_path: Path
) -> None:
    roots = live(world)
    settings = _settings(node, tmp_path)
    history = await _started(world, settings)
    await history.stub.DeleteHistoricProcessInstance(
        history_pb.DeleteHistoricProcessInstanceRequest(process_instance_id=roots[3])
    )
    policy = archive_pb.SetArchivePolicyRequest(process_definition_key="p", retention_days=39)
    await history.archive.SetArchivePolicy(policy)
    await history.archive.RunArchive(archive_pb.RunArchiveRequest())
    _refresh(settings)

    assert await _found(history, "case") == [(roots[2], "name")]
    await history.archive.RestoreArchivedInstance(
        archive_pb.RestoreArchivedInstanceRequest(process_instance_id=roots[0])
    )
    _refresh(settings)
    assert await _found(history, "case") == sorted([(roots[0], "name"), (roots[2], "name")])

    await history.erasures.ErasePerson(erasure_pb.ErasePersonRequest(user_id="kermit", variable_names=["secret"]))
    _refresh(settings)
    assert await _found(history, "kermit") == []

    # The whole stream again: what is gone stays away, by whichever way it went.
    await history.stop()
    world.offsets = type(world.offsets)()
    history = await _started(world, settings)
    assert await _found(history, "kermit") == []
    assert await _found(history, "case") == sorted([(roots[0], "name"), (roots[2], "name")])
    await world.close()


async def test_a_task_that_was_deleted_with_its_history_is_found_no_more(
    world: World, node: OpenSearchNode, tmp_path: Path
) -> None:
    settings = _settings(node, tmp_path)
    task: dict[str, Any] = {"instance_id": "", "task_id": "t", "execution_id": "", "element_id": "", "at": BEGINNING}
    world.engine.tell("t", [ev.TaskCreated(**task, name="Buy zeppelins")])
    history = await _started(world, settings)
    assert len(await _found(history, "zeppelins")) == 1

    world.engine.tell("t", [ev.TaskEnded(**task, canceled=True, forget=True)])
    await _caught_up(history, settings)

    assert await _found(history, "zeppelins") == []


async def test_an_older_text_never_takes_the_place_of_a_newer_one(node: OpenSearchNode, tmp_path: Path) -> None:
    settings = _settings(node, tmp_path)["search"]
    index = OpenSearchIndex(settings)

    def entry(text: str, version: int) -> SearchEntry:
        return SearchEntry(
            owner_id="o", field=NAME, instance_id="o", task_id="", root_id="o", tenant_id="", text=text, version=version
        )

    from history.app.searching import Wish

    async def finds(word: str) -> bool:
        _refresh({"search": settings})
        return bool(await index.search(Wish(words=(word,))))

    await index.write([entry("newer", 2)])
    await index.write([entry("older", 1)])
    assert (await finds("newer"), await finds("older")) == (True, False)
    await index.write([entry("", 3)])
    await index.write([entry("newer", 2), entry("newer", 2)])
    assert not await finds("newer")
    await index.write([entry("newest", 4)])
    assert await finds("newest")
    index.close()


async def test_a_search_engine_that_is_away_holds_history_up_in_nothing_but_the_search(
    world: World, tmp_path: Path
) -> None:
    live(world, count=1)
    away = SearchSettings(url="http://127.0.0.1:9", timeout_seconds=0.5)
    history = await world.start(search=away, clock=LATER)
    await history.caught_up()

    assert len(await history.instances()) == 3
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.search.SearchHistory(pb.SearchHistoryRequest(text="case"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    await world.close()


async def test_texts_come_in_when_the_search_engine_comes_back(tmp_path: Path, world: World) -> None:
    if not opensearch_is_installed():
        pytest.skip("no OpenSearch here: run make servers")
    node = OpenSearchNode(tmp_path / "node")
    live(world, count=1)
    settings = _settings(node, tmp_path)
    history = await world.start(**settings)
    await history.caught_up()

    await asyncio.to_thread(node.start)
    try:
        await _caught_up(history, settings)
        assert len(await _found(history, "case")) == 1
        await world.close()
    finally:
        await asyncio.to_thread(node.kill)
