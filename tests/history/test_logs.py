"""Every value of a variable, what was done with tasks, what people said, who has to do with what."""

import json
from datetime import timedelta

import grpc
import pytest
from flowloom.history.v1 import history_log_service_pb2 as pb
from flowloom.history.v1 import history_service_pb2 as history_pb
from google.protobuf.timestamp_pb2 import Timestamp

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from mesh.rpc_errors import refusal_in
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import Running, World

REVIEW = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="kermit" flowable:candidateGroups="frogs"'),
    bpmn.end(),
    bpmn.flows("s>review>e"),
)


async def _details(history: Running, **filters: object) -> list[pb.HistoricDetail]:
    return [*(await history.logs.ListHistoricDetails(pb.ListHistoricDetailsRequest(**filters))).data]  # type: ignore[arg-type]


async def _log(history: Running, **filters: object) -> list[pb.HistoricTaskLogEntry]:
    return [*(await history.logs.ListHistoricTaskLogEntries(pb.ListHistoricTaskLogEntriesRequest(**filters))).data]  # type: ignore[arg-type]


def _stamp(**later: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(BEGINNING + timedelta(**later))
    return stamp


async def test_every_value_of_a_variable_is_kept_in_order_with_its_revision(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", {"amount": 1})
    world.engine.later(seconds=5)
    world.engine.set_variables(tree, amount=2)
    world.engine.set_variables(tree, amount="three", paper=b"\x00\x01")
    history = await world.start()

    await history.caught_up()
    found = await _details(history, process_instance_id=tree.root_id, variable_name="amount")
    (paper,) = await _details(history, variable_name="paper")
    data = await history.logs.GetHistoricDetailData(pb.GetHistoricDetailDataRequest(detail_id=paper.id))

    assert [(one.revision, one.variable.type, one.detail_type) for one in found] == [
        (0, "integer", "variableUpdate"),
        (1, "integer", "variableUpdate"),
        (2, "string", "variableUpdate"),
    ]
    assert [one.variable.value.number_value for one in found[:2]] == [1, 2]
    assert found[1].time.ToDatetime(tzinfo=BEGINNING.tzinfo) == BEGINNING + timedelta(seconds=5)
    assert (paper.variable.value_url, data.data) == (
        f"/process-api/history/historic-detail/{paper.id}/data",
        b"\x00\x01",
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.logs.GetHistoricDetailData(pb.GetHistoricDetailDataRequest(detail_id=found[0].id))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_details_page_by_token_and_by_start_alike(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    for n in range(7):
        world.engine.set_variables(tree, counter=n)
    history = await world.start()
    await history.caught_up()

    by_start = [
        one.id
        for start in (0, 3, 6)
        for one in await _details(history, process_instance_id=tree.root_id, start=start, size=3, order="desc")
    ]
    by_token: list[str] = []
    token = ""
    while True:
        request = pb.ListHistoricDetailsRequest(
            process_instance_id=tree.root_id, size=3, order="desc", page_token=token
        )
        page = await history.logs.ListHistoricDetails(request)
        by_token += [one.id for one in page.data]
        token = page.next_page_token
        if not token:
            break

    assert len(by_start) == 7
    assert by_token == by_start


async def test_the_task_log_tells_what_was_done_with_a_task_and_by_whom(world: World) -> None:
    world.engine.deploy(REVIEW)
    world.engine.user_id = "fozzie"
    tree = world.engine.start("p")
    (task,) = tree.tasks.values()
    world.engine.later(seconds=1)
    world.engine.user_id = "piggy"
    world.engine.run(tree.root_id, cmd.UpdateTask(task_id=task.id, changes={"assignee": "piggy", "priority": 70}))
    world.engine.later(seconds=1)
    world.engine.complete(tree, "review")
    history = await world.start()

    await history.caught_up()
    found = await _log(history, task_id=task.id)
    late = await _log(history, **{"task_id": task.id, "from": _stamp(seconds=2)})
    by_number = await _log(history, from_log_number=found[-1].log_number)

    assert [one.type for one in found] == [
        "USER_TASK_CREATED",
        "USER_TASK_IDENTITY_LINK_ADDED",
        "USER_TASK_ASSIGNEE_CHANGED",
        "USER_TASK_PRIORITY_CHANGED",
        "USER_TASK_COMPLETED",
    ]
    assert [one.user_id for one in found] == ["fozzie", "fozzie", "piggy", "piggy", "piggy"]
    assert json.loads(found[1].data) == {"type": "candidate", "groupId": "frogs"}
    assert json.loads(found[2].data) == {"newAssigneeId": "piggy", "previousAssigneeId": "kermit"}
    assert json.loads(found[3].data) == {"newPriority": 70, "previousPriority": 50}
    assert found[0].process_definition_id.startswith("p:1:")
    assert [one.type for one in late] == [one.type for one in by_number] == ["USER_TASK_COMPLETED"]


async def test_remarks_on_tasks_come_with_the_stream_and_remarks_on_instances_are_made_here(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    (task,) = tree.tasks.values()
    for n, whole in ((1, True), (2, False), (3, True)):
        world.engine.later(seconds=1)
        said = ev.CommentAdded(
            instance_id=tree.root_id,
            comment_id=f"c{n}",
            task_id=task.id,
            author="kermit",
            message=f"remark {n}",
            at=world.engine.now,
            of_instance=whole,
        )
        world.engine.tell(tree.root_id, [said])
    world.engine.tell(
        tree.root_id,
        [ev.CommentRemoved(instance_id=tree.root_id, comment_id="c3", task_id=task.id, at=world.engine.now)],
    )
    history = await world.start()
    await history.caught_up()
    create = pb.CreateHistoricProcessInstanceCommentRequest(
        process_instance_id=tree.root_id, message="all is well", request_id="r1"
    )

    made = await history.logs.CreateHistoricProcessInstanceComment(create, metadata=(("x-user", "fozzie"),))
    again = await history.logs.CreateHistoricProcessInstanceComment(create, metadata=(("x-user", "fozzie"),))
    of_task = [
        one
        async for one in history.logs.ListHistoricTaskInstanceComments(
            pb.ListHistoricTaskInstanceCommentsRequest(task_id=task.id)
        )
    ]
    asked = pb.ListHistoricProcessInstanceCommentsRequest(process_instance_id=tree.root_id)
    of_instance = [one async for one in history.logs.ListHistoricProcessInstanceComments(asked)]

    assert (made, made.author, made.message) == (again, "fozzie", "all is well")
    assert [one.id for one in of_task] == ["c2", "c1"]
    assert {one.id for one in of_instance} == {"c1", made.id}

    delete = pb.DeleteHistoricProcessInstanceCommentRequest(
        process_instance_id=tree.root_id, comment_id=made.id, request_id="r2"
    )
    await history.logs.DeleteHistoricProcessInstanceComment(delete)
    await history.logs.DeleteHistoricProcessInstanceComment(delete)
    get = pb.GetHistoricProcessInstanceCommentRequest(process_instance_id=tree.root_id, comment_id=made.id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.logs.GetHistoricProcessInstanceComment(get)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("instance", "message"), [("nothing", "text"), ("", "text"), ("known", "")])
async def test_a_remark_that_says_nothing_or_on_nothing_is_refused(world: World, instance: str, message: str) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    history = await world.start()
    await history.caught_up()
    wanted = tree.root_id if instance == "known" else instance

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.logs.CreateHistoricProcessInstanceComment(
            pb.CreateHistoricProcessInstanceCommentRequest(process_instance_id=wanted, message=message)
        )

    assert refused.value.code() is (grpc.StatusCode.NOT_FOUND if message else grpc.StatusCode.INVALID_ARGUMENT)


async def test_who_has_to_do_with_an_instance_and_a_task(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", user_id="fozzie")
    (task,) = tree.tasks.values()
    history = await world.start()
    await history.caught_up()

    of_instance = [
        (one.type, one.user_id, one.process_instance_id)
        async for one in history.stub.ListHistoricProcessInstanceIdentityLinks(
            history_pb.ListHistoricProcessInstanceIdentityLinksRequest(process_instance_id=tree.root_id)
        )
    ]
    of_task = [
        (one.type, one.user_id or one.group_id, one.task_id)
        async for one in history.stub.ListHistoricTaskInstanceIdentityLinks(
            history_pb.ListHistoricTaskInstanceIdentityLinksRequest(task_id=task.id)
        )
    ]

    assert ("starter", "fozzie", tree.root_id) in of_instance
    assert of_task == [("candidate", "frogs", task.id), ("assignee", "kermit", task.id)]


async def test_several_instances_are_deleted_together_or_not_at_all(world: World) -> None:
    world.engine.deploy(REVIEW)
    over = [world.engine.start("p", name=f"n{n}") for n in range(3)]
    for tree in over:
        world.engine.complete(tree, "review")
    running = world.engine.start("p")
    history = await world.start()
    await history.caught_up()

    def request(ids: list[str]) -> history_pb.BulkDeleteHistoricProcessInstancesRequest:
        return history_pb.BulkDeleteHistoricProcessInstancesRequest(action="delete", instance_ids=ids, request_id="r")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.stub.BulkDeleteHistoricProcessInstances(request([over[0].root_id, running.root_id]))
    kept = await history.instances()
    await history.stub.BulkDeleteHistoricProcessInstances(request([tree.root_id for tree in over[:2]]))
    await history.stub.BulkDeleteHistoricProcessInstances(request([tree.root_id for tree in over[:2]]))
    left = await history.instances()

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert len(kept) == 4
    assert {one.id for one in left} == {over[2].root_id, running.root_id}
    assert await _details(history, process_instance_id=over[0].root_id) == []
    assert await _log(history, process_instance_id=over[0].root_id) == []


async def test_a_bulk_deletion_with_another_action_or_without_ids_is_refused(world: World) -> None:
    history = await world.start()

    for action, ids in (("burn", ["a"]), ("delete", [])):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await history.stub.BulkDeleteHistoricTaskInstances(
                history_pb.BulkDeleteHistoricTaskInstancesRequest(action=action, task_ids=ids)
            )
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        found = refusal_in(refused.value)
        assert found is not None
        assert found.reason in {"unknown-action", "invalid-deletion"}
