"""Who is told what about tasks, from the engine's events to the mail."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flowloom.notify.v1 import notification_service_pb2 as pb

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from mesh.bus.message import Message
from mesh.bus.ports import GroupSettings
from notify.settings import TOPIC
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.notify.worlds import World, eventually, told


def review(attributes: str = "") -> str:
    return bpmn.model(
        bpmn.start(), bpmn.user_task("review", attributes=attributes), bpmn.end(), bpmn.flows("s>review>e")
    )


ASSIGNED = review('flowable:assignee="kermit"')
OPEN = review('flowable:candidateUsers="fozzie" flowable:candidateGroups="pigs"')
DUE = review('flowable:assignee="kermit" flowable:dueDate="${\'P2D\'}"')


def _add(world: World) -> None:
    world.identity.add("kermit")
    world.identity.add("fozzie")
    world.identity.add("piggy", "pigs")
    world.identity.add("link", "pigs")


async def test_whoever_is_assigned_a_task_gets_a_mail_in_plain_text_and_html(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    tree = world.engine.start("p", business_key="order-1", name="Review <1>", user_id="gonzo")
    notify = await world.start()

    await notify.settled()
    (mail,) = world.mail.mails
    (delivery,) = await notify.deliveries()

    assert (mail["To"], mail["Subject"]) == ("kermit@muppets.example", "Assigned to you: review")
    assert mail["Message-ID"] == delivery.message_id == f"<{delivery.id}@flowloom.test>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "Hello Kermit M.," in text
    assert "Review <1>" in text
    assert "order-1" in text
    assert "Review &lt;1&gt;" in html
    assert (delivery.event, delivery.state, delivery.recipient) == ("task-assigned", "sent", "kermit")
    assert (delivery.process_instance_id, delivery.process_definition_key) == (tree.root_id, "p")
    assert (delivery.attempts, delivery.task_id) == (1, world.engine.task(tree, "review"))


async def test_candidates_hear_of_a_new_task_members_of_groups_included(world: World) -> None:
    _add(world)
    world.engine.deploy(OPEN)
    world.engine.start("p")
    notify = await world.start()

    await notify.settled()

    assert sorted(world.mail.recipients) == [f"{name}@muppets.example" for name in ("fozzie", "link", "piggy")]
    assert set(world.mail.subjects()) == {"New task: review"}


async def test_nobody_is_told_of_a_task_that_they_took_themselves_or_that_is_done(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(OPEN)
    claimed, done = world.engine.start("p"), world.engine.start("p")
    world.engine.user_id = "fozzie"
    world.engine.run(claimed.root_id, cmd.ClaimTask(task_id=world.engine.task(claimed, "review"), assignee="fozzie"))
    world.engine.complete(done, "review")
    notify = await world.start()

    await notify.settled()

    assert world.mail.mails == []
    assert await notify.deliveries() == []


async def test_a_task_that_comes_back_to_somebody_is_told_again(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    tree = world.engine.start("p")
    notify = await world.start()
    await notify.settled()
    task_id = world.engine.task(tree, "review")

    for name in ("fozzie", "kermit"):
        world.engine.run(tree.root_id, cmd.UpdateTask(task_id=task_id, changes={"assignee": name}))
        await notify.settled()

    assert world.mail.recipients == [f"{name}@muppets.example" for name in ("kermit", "fozzie", "kermit")]


async def test_a_task_is_told_of_before_its_due_date_and_at_it_once_each(world: World) -> None:
    _add(world)
    world.engine.deploy(DUE)
    world.engine.start("p")
    notify = await world.start()
    seen = []

    for hours in (0, 23.9, 0.2, 10, 14):
        world.later(hours=hours)
        await notify.settled()
        seen.append(len(world.mail.mails))

    assert seen == [1, 1, 2, 2, 3]
    assert world.mail.subjects() == ["Assigned to you: review", "Due soon: review", "Overdue: review"]


async def test_a_due_date_that_moves_takes_its_reminders_along(world: World) -> None:
    _add(world)
    world.engine.deploy(DUE)
    tree = world.engine.start("p")
    notify = await world.start()
    await notify.settled()
    task_id = world.engine.task(tree, "review")
    due = BEGINNING + timedelta(days=9)

    world.engine.run(tree.root_id, cmd.UpdateTask(task_id=task_id, changes={"due_at": due}))
    await notify.settled()
    world.later(days=3)
    await notify.settled()
    before = world.mail.subjects()
    world.later(days=7)
    await notify.settled()

    assert before == ["Assigned to you: review"]
    assert sorted(world.mail.subjects()[1:]) == ["Due soon: review", "Overdue: review"]


@pytest.mark.parametrize("due", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
async def test_the_ends_of_the_calendar_are_due_dates_too(small_world: World, due: datetime) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    tree = world.engine.start("p")
    changes: dict[str, Any] = {"due_at": due}
    world.engine.run(tree.root_id, cmd.UpdateTask(task_id=world.engine.task(tree, "review"), changes=changes))
    notify = await world.start()

    await notify.settled()

    late = ["Due soon: review", "Overdue: review"] if due.year == 1 else []
    assert sorted(world.mail.subjects()) == sorted(["Assigned to you: review", *late])


async def test_a_due_date_that_comes_back_is_not_told_twice(world: World) -> None:
    _add(world)
    world.engine.deploy(DUE)
    tree = world.engine.start("p")
    notify = await world.start()
    world.later(days=3)
    await notify.settled()
    task_id = world.engine.task(tree, "review")
    before = len(world.mail.mails)

    for due in (BEGINNING + timedelta(days=30), BEGINNING + timedelta(days=2)):
        world.engine.run(tree.root_id, cmd.UpdateTask(task_id=task_id, changes={"due_at": due}))
        await notify.settled()

    assert before == len(world.mail.mails) == 3


async def test_reminders_of_a_task_that_is_done_never_come(world: World) -> None:
    _add(world)
    world.engine.deploy(DUE)
    first, second = world.engine.start("p"), world.engine.start("p")
    notify = await world.start()
    await notify.settled()

    world.engine.complete(first, "review")
    world.engine.run(second.root_id, cmd.DeleteInstance(instance_id=second.root_id, reason="no longer wanted"))
    await notify.settled()
    world.later(days=3)
    await notify.settled()

    assert set(world.mail.subjects()) == {"Assigned to you: review"}
    assert (
        await _rows(notify, "notice"),
        await _rows(notify, "open_task"),
        await _rows(notify, "running_process"),
    ) == (
        0,
        0,
        0,
    )


async def test_whoever_started_a_process_hears_how_it_ended(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    world.engine.user_id = "kermit"
    tree = world.engine.start("p", user_id="fozzie", business_key="order-1")
    world.engine.complete(tree, "review")
    notify = await world.start()

    await notify.settled()

    assert told(await notify.deliveries()) == [("process-completed", "fozzie", "sent")]
    assert world.mail.subjects() == ["Completed: p order-1"]


async def test_incidents_go_to_operators_who_want_them(small_world: World) -> None:
    world = small_world
    _add(world)
    notify = await world.start(operators=("piggy",))
    await notify.prefer("kermit", incidents=True)
    await notify.prefer("fozzie", incidents=False)
    raised = ev.IncidentRaised(
        instance_id="i-1", execution_id="x-1", element_id="g", kind="no-way-out", message="no way", at=world.engine.now
    )
    world.engine.tell("i-1", [raised])

    await notify.settled()

    found = [row for row in told(await notify.deliveries()) if row[0] == "incident"]
    assert found == [("incident", "kermit", "sent"), ("incident", "piggy", "sent")]


async def test_a_batch_that_comes_again_tells_nobody_anything_again(world: World) -> None:
    _add(world)
    world.engine.deploy(OPEN)
    world.engine.start("p")
    notify = await world.start()
    await notify.settled()
    before = len(world.mail.mails)

    await notify.stop()
    world.offsets.sequences.clear()
    notify = await world.start()
    await notify.settled()

    assert before == len(world.mail.mails) == 3


async def test_while_identity_is_away_nothing_is_lost(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    world.engine.start("p")
    world.identity.is_away = True
    notify = await world.start()
    await notify.caught_up()
    notify.service.wake()
    await eventually(lambda: world.identity.calls > 0, "identity to be asked")

    world.identity.is_away = False

    world.later(seconds=11)
    await notify.settled()

    assert world.mail.subjects() == ["Assigned to you: review"]


async def test_people_of_another_tenant_and_disabled_users_hear_nothing(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit", "pigs", tenant_id="muppets")
    world.identity.add("fozzie", "pigs", tenant_id="others")
    world.identity.add("piggy", "pigs", disabled=True)
    world.identity.add("gonzo", "pigs")
    world.engine.deploy(OPEN, tenant_id="muppets")
    world.engine.start("p", tenant_id="muppets")
    notify = await world.start()

    await notify.settled()

    # fozzie is also a candidate by name, and yet of another tenant.
    assert sorted(row.recipient for row in await notify.deliveries()) == ["gonzo", "kermit"]


async def test_a_message_that_cannot_be_read_is_parked_and_the_next_is_taken(small_world: World) -> None:
    world = small_world
    _add(world)
    world.engine.deploy(ASSIGNED)
    world.engine.publish(
        Message(topic=TOPIC, key="bad", event_id="bad", sequence=0, payload=b"\xff\xff", occurred_at=world.engine.now)
    )
    world.engine.start("p")
    notify = await world.start(
        bus=GroupSettings(tries=2, retry_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=0.0)
    )

    await eventually(lambda: len(world.mail.mails) == 1, "the mail")

    async def is_parked() -> bool:
        return len(await notify.service.dead_letters.listed(10)) == 1

    await eventually(is_parked, "the dead letter")


async def test_one_persons_preferences_that_do_not_fit_any_more_keep_nobody_else_from_hearing(world: World) -> None:
    _add(world)
    world.engine.deploy(OPEN)
    notify = await world.start()
    await notify.prefer("piggy", time_zone="Europe/Berlin")
    # Zones come and go with the system's data.
    wrong = "UPDATE preferences SET document = REPLACE(document, 'Europe/Berlin', 'Europe/Atlantis')"

    def change() -> None:
        with notify.service._database.engine.begin() as connection:
            connection.exec_driver_sql(wrong)

    await asyncio.to_thread(change)
    world.engine.start("p")
    await notify.settled()

    (dead,) = await notify.deliveries(state="dead")
    assert (dead.recipient, "Europe/Atlantis" in dead.error) == ("piggy", True)
    assert sorted(world.mail.recipients) == ["fozzie@muppets.example", "link@muppets.example"]


async def test_a_standalone_task_is_told_of_without_a_process(small_world: World) -> None:
    world = small_world
    _add(world)
    created = ev.TaskCreated(
        instance_id="",
        task_id="t-1",
        execution_id="",
        element_id="",
        name="Call the plumber",
        assignee="kermit",
        at=world.engine.now,
    )
    world.engine.tell("t-1", [created])
    notify = await world.start()

    await notify.settled()

    assert world.mail.subjects() == ["Assigned to you: Call the plumber"]


async def test_the_log_can_be_filtered_sorted_and_paged(world: World) -> None:
    _add(world)
    world.engine.deploy(OPEN)
    world.engine.start("p")
    notify = await world.start()
    await notify.settled()

    request = pb.ListDeliveriesRequest(size=2, sort="recipient", order="desc")
    first = await notify.notifications.ListDeliveries(request)
    request.page_token = first.next_page_token
    second = await notify.notifications.ListDeliveries(request)

    assert [row.recipient for row in (*first.data, *second.data)] == ["piggy", "link", "fozzie"]
    assert (first.total, second.next_page_token) == (3, "")
    assert len(await notify.deliveries(recipient="link", state="sent", channel="mail", event="task-created")) == 1
    assert await notify.deliveries(state="dead") == []


async def _rows(notify: Any, table: str) -> int:
    def count() -> int:
        with notify.service._database.reader.connect() as connection:
            return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one())

    return await asyncio.to_thread(count)
