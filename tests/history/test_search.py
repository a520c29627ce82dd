"""Finding again by a word of a name, a business key, a task's name or a variable."""

from typing import Any

import grpc
import pytest
from flowloom.history.v1 import search_service_pb2 as pb

from tests.engine.kernel import models as bpmn
from tests.history.worlds import Running, World

REVIEW = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review").replace('name="review"', 'name="Read the Paper"'),
    bpmn.end(),
    bpmn.flows("s>review>e"),
)


async def _found(history: Running, text: str, **more: Any) -> list[tuple[str, str]]:
    answer = await history.search.SearchHistory(pb.SearchHistoryRequest(text=text, size=100, **more))
    return [(one.process_instance_id, one.field) for one in answer.data]


async def test_words_of_names_keys_tasks_and_variables_find_their_instance(world: World) -> None:
    world.engine.deploy(REVIEW)
    first = world.engine.start(
        "p", {"city": "São Paulo", "n": 42}, name="Größe der Bestellung", business_key="order-4711"
    )
    other = world.engine.start("p", name="Holiday of Kermit", business_key="leave-1")
    history = await world.start()
    await history.caught_up()

    assert await _found(history, "bestell") == [(first.root_id, "name")]
    assert await _found(history, "GRÖSSE DER") == [(first.root_id, "name")]
    assert await _found(history, "4711 order") == [(first.root_id, "businessKey")]
    assert await _found(history, "são") == [(first.root_id, "variable:city")]
    assert await _found(history, "42") == [(first.root_id, "variable:n")]
    assert sorted(await _found(history, "paper")) == sorted([(first.root_id, "taskName"), (other.root_id, "taskName")])
    assert await _found(history, "kermit paulo") == []
    assert await _found(history, "order", fields=["name"]) == []
    assert await _found(history, "paulo", fields=["variable:"]) == [(first.root_id, "variable:city")]


async def test_a_new_value_takes_the_place_of_the_old_one_and_a_deletion_takes_all(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", {"colour": "green"}, name="old words")
    world.engine.set_variables(tree, colour="blue sky")
    world.engine.complete(tree, "review")
    history = await world.start()
    await history.caught_up()
    from flowloom.history.v1 import history_service_pb2 as history_pb

    assert await _found(history, "green") == []
    assert await _found(history, "blue") == [(tree.root_id, "variable:colour")]
    await history.stub.DeleteHistoricProcessInstance(
        history_pb.DeleteHistoricProcessInstanceRequest(process_instance_id=tree.root_id)
    )
    assert await _found(history, "blue") == await _found(history, "old") == await _found(history, "paper") == []


async def test_pages_of_a_search_follow_each_other_without_gap_or_repetition(world: World) -> None:
    world.engine.deploy(REVIEW)
    trees = [world.engine.start("p", name=f"common {n}") for n in range(7)]
    history = await world.start()
    await history.caught_up()

    seen: list[str] = []
    token = ""
    while True:
        request = pb.SearchHistoryRequest(text="common", size=3, page_token=token)
        page = await history.search.SearchHistory(request)
        seen += [one.process_instance_id for one in page.data]
        token = page.next_page_token
        if not token:
            break

    assert sorted(seen) == sorted(tree.root_id for tree in trees)
    first = await history.search.SearchHistory(pb.SearchHistoryRequest(text="common", size=3))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.search.SearchHistory(
            pb.SearchHistoryRequest(text="other", size=3, page_token=first.next_page_token)
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "request_",
    [
        pb.SearchHistoryRequest(text="... !"),
        pb.SearchHistoryRequest(text="a b c d e f g h i"),
        pb.SearchHistoryRequest(text="a", fields=["beauty"]),
        pb.SearchHistoryRequest(text="a", size=0),
        pb.SearchHistoryRequest(text="a", page_token="x"),
    ],
)
async def test_a_search_that_cannot_be_done_is_refused(tmp_path: Any, request_: pb.SearchHistoryRequest) -> None:
    world = World(f"sqlite:///{tmp_path / 'history.db'}")
    history = await world.start()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.search.SearchHistory(request_)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await world.close()
