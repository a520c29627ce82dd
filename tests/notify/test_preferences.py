"""What users want: channels, languages, quiet hours, digests; and what they may not ask for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import msgspec
import pytest
from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import preference_service_pb2 as preference_pb
from flowloom.notify.v1 import preferences_pb2

from engine.kernel import commands as cmd
from mesh.rpc_errors import refusal_in
from notify.app.planning import Plan
from notify.app.projecting import Changes, Wanted
from notify.model.records import Delivery, Notice
from notify.settings import WebhookSettings
from notify.storage.notices import NoticeStore
from tests.notify.receivers import receiver
from tests.notify.test_deliveries import refused
from tests.notify.test_reminders import ASSIGNED, DUE
from tests.notify.worlds import SENDING, World, told

AS_KERMIT = (("x-user", "kermit"),)


async def test_users_set_their_own_preferences_and_others_do_not_matter(world: World) -> None:
    notify = await world.start()
    wanted = preferences_pb2.Preferences(
        user_id="piggy",
        language="de",
        time_zone="Europe/Berlin",
        channels=[{"channel": "mail", "address": "frog@pond.example", "events": ["task-overdue"]}],  # type: ignore[list-item]
        muted_events=["process-completed"],
        quiet_hours={"start": "22:00", "end": "07:30", "overdue_breaks": True},  # type: ignore[arg-type]
        digest_period={"seconds": 3600},  # type: ignore[arg-type]
    )
    request = preference_pb.UpdateOwnPreferencesRequest(preferences=wanted, request_id="once")

    written = await notify.preferences.UpdateOwnPreferences(request, metadata=AS_KERMIT)
    again = await notify.preferences.UpdateOwnPreferences(request, metadata=AS_KERMIT)
    read = await notify.preferences.GetOwnPreferences(preference_pb.GetOwnPreferencesRequest(), metadata=AS_KERMIT)
    other = await notify.preferences.GetPreferences(preference_pb.GetPreferencesRequest(user_id="piggy"))

    assert written == again == read
    assert (read.user_id, read.language, read.quiet_hours.end) == ("kermit", "de", "07:30")
    assert read.HasField("update_time")
    assert (other.user_id, other.language, other.HasField("update_time")) == ("piggy", "", False)


async def test_nobody_has_no_preferences_of_their_own(small_world: World) -> None:
    notify = await small_world.start()

    call = notify.preferences.GetOwnPreferences(preference_pb.GetOwnPreferencesRequest())

    assert await refused(call) == "nobody-calls"


async def test_preferences_that_were_deleted_are_those_of_the_settings_again(world: World) -> None:
    notify = await world.start(muted_events=("process-completed",))
    await notify.prefer("kermit", language="de")
    request = preference_pb.DeletePreferencesRequest(user_id="kermit")

    await notify.preferences.DeletePreferences(request)

    read = await notify.preferences.GetPreferences(preference_pb.GetPreferencesRequest(user_id="kermit"))
    assert (read.language, list(read.muted_events)) == ("", ["process-completed"])
    assert await refused(notify.preferences.DeletePreferences(request)) == "preferences-not-found"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"language": "German!"}, "language"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"channels": [{"channel": "pigeon"}]}, "channels[0]"),
        ({"channels": [{"channel": "mail", "address": "nowhere"}]}, "channels[0]"),
        ({"channels": [{"channel": "sms"}]}, "channels[0]"),
        ({"channels": [{"channel": "webhook", "address": "ftp://x"}]}, "channels[0]"),
        ({"channels": [{"channel": "push", "address": "json://127.0.0.1/x"}]}, "channels[0]"),
        ({"channels": [{"channel": "mail", "events": ["sunrise"]}]}, "channels[0].events"),
        ({"channels": [{"channel": "mail"}] * 21}, "channels"),
        ({"muted_events": ["sunrise"]}, "muted_events"),
        ({"quiet_hours": {"start": "24:00", "end": "07:00"}}, "quiet_hours.start"),
        ({"digest_period": {"seconds": 5}}, "digest_period"),
        ({"digest_period": {"seconds": 8 * 86400}}, "digest_period"),
    ],
)
async def test_wrong_preferences_are_refused_with_the_field(small_world: World, fields: Any, field: str) -> None:
    notify = await small_world.start()

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await notify.prefer("kermit", **fields)

    found = refusal_in(failed.value)
    assert found is not None
    assert found.reason == "invalid-preferences"
    assert [violation.field for violation in found.violations] == [f"preferences.{field}"]


async def test_messages_come_in_the_language_and_the_time_of_their_recipient(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start()
    await notify.prefer("kermit", language="de-AT", time_zone="Europe/Berlin")
    world.engine.deploy(DUE)
    world.engine.start("p")

    await notify.settled()

    (mail,) = world.mail.mails
    assert mail["Subject"] == "Ihnen zugewiesen: review"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Fällig: 03.01.2026 13:00 (CET)" in text


async def test_each_channel_gets_the_events_that_its_user_wants_there(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    with receiver() as other_side:
        notify = await world.start(webhook=WebhookSettings(secret="hush", allow_private_addresses=True))
        hook = {"channel": "webhook", "address": f"http://127.0.0.1:{other_side.port}/"}
        await notify.prefer(
            "kermit", channels=[hook, {"channel": "mail", "events": ["task-overdue"]}], muted_events=["task-due-soon"]
        )
        world.engine.deploy(DUE)
        world.engine.start("p")
        await notify.settled()
        world.later(days=3)
        await notify.settled()

    assert told(await notify.deliveries(channel="webhook")) == [
        ("task-assigned", "kermit", "sent"),
        ("task-overdue", "kermit", "sent"),
    ]
    assert world.mail.subjects() == ["Overdue: review"]


async def test_in_quiet_hours_nothing_comes_but_what_may_break_them(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start()
    # It is noon now.
    await notify.prefer("kermit", quiet_hours={"start": "11:00", "end": "14:00", "overdue_breaks": True})
    world.engine.deploy(DUE)
    world.engine.start("p")
    await notify.settled()
    (waiting,) = await notify.deliveries()
    before = world.mail.subjects()

    world.later(hours=2)
    await notify.settled()
    after = world.mail.subjects()
    world.later(days=1, hours=22)
    await notify.settled()

    assert (before, after) == ([], ["Assigned to you: review"])
    assert waiting.due_time.ToDatetime(tzinfo=UTC) == datetime(2026, 1, 1, 14, tzinfo=UTC)
    assert "Overdue: review" in world.mail.subjects()


async def test_a_digest_tells_all_of_a_period_in_one_message(world: World) -> None:
    world.identity.add("kermit")
    notify = await world.start()
    await notify.prefer("kermit", digest_period={"seconds": 3600})
    world.engine.deploy(ASSIGNED)
    trees = [world.engine.start("p", name=f"Case {n}") for n in range(4)]
    await notify.settled()
    world.engine.user_id = "kermit"
    world.engine.complete(trees[3], "review")
    await notify.settled()
    before = world.mail.subjects()

    world.later(hours=1)
    await notify.settled()

    assert before == []
    assert world.mail.subjects() == ["3 messages"]
    assert (await notify.deliveries(event="digest"))[0].state == "sent"
    found = await notify.deliveries(event="task-assigned")
    assert sorted(row.state for row in found) == ["sent", "sent", "sent", "suppressed"]
    (digest,) = await notify.deliveries(event="digest")
    assert {row.digest_id for row in found} == {digest.id}
    text = world.mail.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.count("- Assigned to you: review") == 3

    world.engine.user_id = ""
    world.engine.start("p")
    await notify.settled()
    world.later(hours=1)
    await notify.settled()
    assert world.mail.subjects() == ["3 messages", "1 message"]


async def test_an_overdue_task_does_not_wait_for_the_digest_if_the_user_says_so(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start()
    await notify.prefer("kermit", digest_period={"seconds": 7 * 86400}, overdue_skips_digest=True)
    world.engine.deploy(DUE)
    world.engine.start("p")
    world.later(days=2)

    await notify.settled()

    assert world.mail.subjects() == ["Overdue: review"]


async def test_what_comes_for_a_digest_that_was_sent_already_is_not_lost(world: World) -> None:
    world.identity.add("kermit")
    notify = await world.start()
    await notify.prefer("kermit", digest_period={"seconds": 3600})
    world.engine.deploy(ASSIGNED)
    world.engine.start("p")
    await notify.settled()
    world.later(hours=1)
    await notify.settled()
    (entry,) = await notify.deliveries(event="task-assigned")
    rows = notify.service._deliveries

    # A replica whose clock is behind plans for the period that is over for us.
    digest = await notify.service._queries.delivery(entry.digest_id)
    assert digest is not None
    now = world.clock.now()
    late = Delivery(
        id="late",
        event="task-assigned",
        channel="mail",
        recipient="kermit",
        address="kermit@muppets.example",
        state="pending",
        created_at=now,
        digest_id=digest.id,
        language="en",
        context={"task": {"name": "Late"}, "event": "task-assigned"},
    )
    notice = Notice(id="n-1", event="incident", due_at=now + timedelta(days=1), facts={})
    changes = Changes(
        applied={},
        tasks=[],
        dropped_tasks=[],
        processes=[],
        dropped_processes=[],
        notices=[notice],
        dropped_notices=[],
        over_tasks=[],
    )
    nothing = Wanted(roots=set(), tasks=set(), processes=set(), ended=set())
    await notify.service.recorder._store.transact(nothing, lambda _: changes)
    plan = Plan(deliveries={"n-1": [late]}, digests={digest.id: msgspec.structs.replace(digest, due_at=now)})
    await NoticeStore(rows._connection).finish(["n-1"], "", plan)
    notify.service.wake()
    await notify.settled()

    assert world.mail.subjects() == ["1 message", "1 message"]
    first, second = (mail["Message-ID"] for mail in world.mail.mails)
    assert first != second
    assert {row.state for row in await notify.deliveries()} == {"sent"}


async def test_a_longer_digest_than_the_limit_goes_in_parts(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start(sending=replace(SENDING, digest_entries=2))
    await notify.prefer("kermit", digest_period={"seconds": 3600})
    world.engine.deploy(ASSIGNED)
    for _ in range(5):
        world.engine.start("p")
    await notify.settled()

    world.later(hours=1)
    await notify.settled()

    assert world.mail.subjects() == ["2 messages", "2 messages", "1 message"]
    assert {row.state for row in await notify.deliveries()} == {"sent"}


async def test_a_message_of_its_own_does_not_wait_for_anything(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start()
    await notify.prefer(
        "kermit", digest_period={"seconds": 86400}, quiet_hours={"start": "00:00", "end": "23:59"}, language="de"
    )

    request = pb.SendNotificationRequest(user_id="kermit", subject="Hello", text="There", html="<b>There</b>")
    await notify.notifications.SendNotification(request)
    await notify.settled()

    assert world.mail.subjects() == ["Hello"]


async def test_a_task_that_is_over_takes_back_what_waits(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    world.mail.refuse_data = ["451 not now"]
    notify = await world.start()
    world.engine.deploy(ASSIGNED)
    tree = world.engine.start("p")
    await notify.settled()

    world.engine.run(tree.root_id, cmd.DeleteInstance(instance_id=tree.root_id))
    await notify.settled()
    world.later(days=1)
    await notify.settled()

    (delivery,) = await notify.deliveries()
    assert (delivery.state, delivery.error) == ("suppressed", "the task is over")
    assert world.mail.mails == []
