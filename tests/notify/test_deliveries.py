"""What becomes of a delivery: attempts, back-off, dead letters, and what people do about it by RPC."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import notification_service_pb2_grpc, preference_service_pb2_grpc
from flowloom.notify.v1 import preference_service_pb2 as preference_pb
from flowloom.notify.v1 import template_service_pb2 as template_pb

from engine.kernel import events as ev
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in
from notify.settings import ServiceSettings, WebhookSettings
from tests.notify.receivers import receiver
from tests.notify.worlds import SENDING, OneTenant, Running, World, eventually, told


async def refused(call: Awaitable[Any]) -> str:
    """The reason of the refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    found = refusal_in(failed.value)
    assert found is not None
    return found.reason


async def send(notify: Running, **fields: Any) -> list[Any]:
    values = {"user_id": "kermit", "subject": "Hello", "text": "There", **fields}
    answer = await notify.notifications.SendNotification(pb.SendNotificationRequest(**values))
    return list(answer.deliveries)


async def test_what_fails_is_tried_again_with_growing_pauses_and_the_same_message_id(world: World) -> None:
    world.identity.add("kermit")
    world.mail.refuse_data = ["451 not now", "451 not now"]
    notify = await world.start()
    (made,) = await send(notify)
    seen = []

    for seconds in (0, 9, 2, 18, 3):
        world.later(seconds=seconds)
        await notify.settled()
        (delivery,) = await notify.deliveries()
        seen.append((delivery.state, delivery.attempts))

    assert seen == [("failed", 1), ("failed", 1), ("failed", 2), ("failed", 2), ("sent", 3)]
    assert world.mail.mails[0]["Message-ID"] == made.message_id
    assert (delivery.subject, delivery.error, delivery.HasField("due_time")) == ("Hello", "", False)
    assert notify.metric("flowloom_notify_deliveries_total", channel="mail", state="failed") == 2
    assert notify.metric("flowloom_notify_deliveries_total", channel="mail", state="sent") == 1


async def test_what_never_succeeds_is_dead_with_the_reason_and_can_be_resent(world: World) -> None:
    world.identity.add("kermit")
    world.mail.refuse_data = ["451 not now"] * 4
    notify = await world.start()
    (made,) = await send(notify)
    for _ in range(4):
        await notify.settled()
        world.later(seconds=200)
    (dead,) = await notify.deliveries(state="dead")

    again = await notify.notifications.ResendDelivery(pb.ResendDeliveryRequest(delivery_id=made.id))
    await notify.settled()

    assert (dead.attempts, "451 not now" in dead.error) == (4, True)
    assert (again.state, again.attempts, again.resends) == ("pending", 0, 1)
    (sent,) = await notify.deliveries()
    assert (sent.state, sent.attempts) == ("sent", 1)
    # A new message: whoever dropped copies of the first one takes it.
    assert world.mail.mails[0]["Message-ID"] == sent.message_id != made.message_id


async def test_what_is_refused_for_good_is_dead_at_once(small_world: World) -> None:
    world = small_world
    world.mail.refuse_recipient = "550 nobody"
    world.identity.add("kermit")
    notify = await world.start()
    await send(notify)

    await notify.settled()

    (dead,) = await notify.deliveries()
    assert (dead.state, dead.attempts) == ("dead", 1)
    assert "550 nobody" in dead.error


async def test_a_template_that_fails_makes_its_delivery_dead_with_the_reason(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start()
    created = await notify.templates.CreateTemplate(
        template_pb.CreateTemplateRequest(event="message", language="en", subject="x", text="{{ message.wrong }}")
    )
    (made,) = await send(notify)
    await notify.settled()
    (dead,) = await notify.deliveries()

    update = template_pb.UpdateTemplateRequest(template_id=created.id, subject="Now", text="{{ message.text }}")
    await notify.templates.UpdateTemplate(update)
    await notify.notifications.ResendDelivery(pb.ResendDeliveryRequest(delivery_id=made.id))
    await notify.settled()

    assert dead.state == "dead"
    assert "has no attribute 'wrong'" in dead.error
    assert world.mail.subjects() == ["Now"]


async def test_a_delivery_that_waits_can_be_cancelled_and_one_that_is_over_cannot(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    world.mail.refuse_data = ["451 not now"]
    notify = await world.start()
    (made,) = await send(notify)
    await notify.settled()
    request = pb.CancelDeliveryRequest(delivery_id=made.id)

    cancelled = await notify.notifications.CancelDelivery(request)
    world.later(days=1)
    await notify.settled()

    assert (cancelled.state, cancelled.HasField("due_time")) == ("cancelled", False)
    assert world.mail.mails == []
    assert await refused(notify.notifications.CancelDelivery(request)) == "delivery-not-waiting"
    resend = pb.ResendDeliveryRequest(delivery_id="nothing")
    assert await refused(notify.notifications.ResendDelivery(resend)) == "delivery-not-found"


async def test_a_delivery_under_way_can_neither_be_cancelled_nor_resent(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    with receiver() as other_side:
        other_side.release.clear()
        webhook = WebhookSettings(secret="hush", allow_private_addresses=True)
        notify = await world.start(webhook=webhook)
        (made,) = await send(
            notify, user_id="", channel="webhook", address=f"http://127.0.0.1:{other_side.port}/", subject=""
        )
        await eventually(lambda: other_side.posted, "the call")

        cancel = await refused(notify.notifications.CancelDelivery(pb.CancelDeliveryRequest(delivery_id=made.id)))
        resend = await refused(notify.notifications.ResendDelivery(pb.ResendDeliveryRequest(delivery_id=made.id)))
        other_side.release.set()
        await notify.settled()

    assert (cancel, resend) == ("delivery-not-waiting", "delivery-not-over")
    assert told(await notify.deliveries()) == [("message", "", "sent")]


async def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(world: World) -> None:
    world.identity.add("kermit")
    notify = await world.start()

    (first,) = await send(notify, request_id="send-1")
    await notify.settled()
    (second,) = await send(notify, request_id="send-1")
    resend = pb.ResendDeliveryRequest(delivery_id=first.id, request_id="resend-1")
    answers = [await notify.notifications.ResendDelivery(resend) for _ in range(2)]
    await notify.settled()

    assert first == second
    assert answers[0] == answers[1]
    assert len(world.mail.mails) == 2
    cancel = pb.CancelDeliveryRequest(delivery_id=first.id, request_id="send-1")
    assert await refused(notify.notifications.CancelDelivery(cancel)) == "request-id-reused"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user_id": ""}, "invalid-notification"),
        ({"user_id": "", "channel": "pigeon", "address": "x"}, "invalid-notification"),
        ({"user_id": "", "channel": "mail", "address": "not an address"}, "invalid-notification"),
        ({"user_id": "", "channel": "sms", "address": "0151"}, "invalid-notification"),
        ({"text": ""}, "invalid-notification"),
        ({"subject": "x" * 999}, "invalid-notification"),
        ({"address": "a@b.example"}, "invalid-notification"),
        ({"user_id": "stranger"}, "user-not-reachable"),
        ({"channel": "sms"}, "user-not-reachable"),
        ({"request_id": "x" * 129}, "request-id-too-long"),
    ],
)
async def test_a_message_that_cannot_be_sent_is_refused(small_world: World, fields: Any, reason: str) -> None:
    small_world.identity.add("kermit")
    notify = await small_world.start()

    assert await refused(send(notify, **fields)) == reason
    assert await notify.deliveries() == []


async def test_a_user_without_an_address_is_in_the_log_with_the_reason(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit", email="")
    notify = await world.start()
    created = ev.TaskCreated(
        instance_id="", task_id="t-1", execution_id="", element_id="", name="x", assignee="kermit", at=world.engine.now
    )
    world.engine.tell("t-1", [created])

    await notify.settled()

    (delivery,) = await notify.deliveries()
    assert (delivery.state, delivery.error) == ("suppressed", "expected an address for mail, found none")


async def test_a_service_reached_through_apprise_is_a_channel_like_any_other(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    with receiver() as other_side:
        service = ServiceSettings(sms=f"json://127.0.0.1:{other_side.port}/{{address}}")
        notify = await world.start(service=service)
        await notify.prefer("kermit", channels=[{"channel": "sms", "address": "0151"}])
        other_side.statuses.append(500)
        (made,) = await send(notify)
        await notify.settled()
        world.later(seconds=11)
        await notify.settled()

    assert [posted.path for posted in other_side.posted] == ["/0151", "/0151"]
    assert {posted.headers["Idempotency-Key"] for posted in other_side.posted} == {made.id}
    assert told(await notify.deliveries()) == [("message", "kermit", "sent")]


async def test_the_log_shows_no_secret_of_an_address(small_world: World) -> None:
    world = small_world
    with receiver() as other_side:
        notify = await world.start(webhook=WebhookSettings(secret="hush", allow_private_addresses=True))
        address = f"http://127.0.0.1:{other_side.port}/hook?token=secret"
        (made,) = await send(notify, user_id="", channel="webhook", address=address)
        await notify.settled()

    assert made.address == f"http://127.0.0.1:{other_side.port}/hook?…"


async def test_a_delivery_whose_sender_died_every_time_is_given_up(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    notify = await world.start(sending=replace(SENDING, tries=2))
    for worker in notify.service._workers:
        await worker.stop()
    (made,) = await send(notify)
    rows = notify.service._deliveries
    for _ in range(2):
        # A lease that nobody gives back.
        assert len(await rows.take(10, "somebody who dies")) == 1
        world.later(seconds=200)
    await notify.stop()

    notify = await world.start(sending=replace(SENDING, tries=2))
    await notify.settled()

    (dead,) = await notify.deliveries()
    assert (dead.id, dead.state, world.mail.mails) == (made.id, "dead", [])
    assert "ended before it could tell" in dead.error


async def test_a_slow_receiver_holds_nobody_else_up(small_world: World) -> None:
    world = small_world
    world.identity.add("kermit")
    with receiver() as other_side:
        other_side.release.clear()
        notify = await world.start(webhook=WebhookSettings(secret="hush", allow_private_addresses=True))
        address = f"http://127.0.0.1:{other_side.port}/"
        for _ in range(3):
            await send(notify, user_id="", channel="webhook", address=address)
        await send(notify)

        await eventually(lambda: len(world.mail.mails) == 1, "the mail")
        assert {row.state for row in await notify.deliveries(channel="webhook")} == {"pending"}
        other_side.release.set()
        await notify.settled()


async def test_an_attempt_that_takes_too_long_has_failed(small_world: World) -> None:
    world = small_world
    with receiver() as other_side:
        other_side.release.clear()
        notify = await world.start(
            webhook=WebhookSettings(secret="hush", allow_private_addresses=True),
            sending=replace(SENDING, send_seconds=0.3),
        )
        await send(notify, user_id="", channel="webhook", address=f"http://127.0.0.1:{other_side.port}/")

        async def has_failed() -> bool:
            return bool(await notify.deliveries(state="failed"))

        await eventually(has_failed, "the attempt to fail")
        other_side.release.set()
        await asyncio.sleep(0)

    (delivery,) = await notify.deliveries()
    assert "0.3 s" in delivery.error or "Timeout" in delivery.error


async def test_a_tenant_sees_its_own_deliveries_and_tells_its_own_people(world: World) -> None:
    world.identity.add("kermit", tenant_id="muppets")
    world.identity.add("bert", tenant_id="others")
    world.identity.add("ernie", tenant_id="muppets", disabled=True)
    notify = await world.start()
    (mine,) = await send(notify, tenant_id="muppets")
    (theirs,) = await send(notify, user_id="bert", tenant_id="others")
    server = LocalServer()
    notify.service.add_to(GuardedServer((server,), access=OneTenant("muppets")))
    await server.start()
    channel: Any = LocalChannel(server)
    ours: Any = notification_service_pb2_grpc.NotificationServiceStub(channel)
    preferences: Any = preference_service_pb2_grpc.PreferenceServiceStub(channel)

    seen = await ours.ListDeliveries(pb.ListDeliveriesRequest())
    foreign = await ours.ListDeliveries(pb.ListDeliveriesRequest(tenant_id="others"))
    answer = await ours.SendNotification(pb.SendNotificationRequest(user_id="kermit", text="There"))

    assert [row.id for row in seen.data] == [mine.id]
    assert (list(foreign.data), answer.deliveries[0].tenant_id) == ([], "muppets")
    for call, reason in (
        (ours.GetDelivery(pb.GetDeliveryRequest(delivery_id=theirs.id)), "delivery-not-found"),
        (ours.ResendDelivery(pb.ResendDeliveryRequest(delivery_id=theirs.id)), "delivery-not-found"),
        (ours.CancelDelivery(pb.CancelDeliveryRequest(delivery_id=theirs.id)), "delivery-not-found"),
        (ours.SendNotification(pb.SendNotificationRequest(user_id="bert", text="x")), "user-not-reachable"),
        (ours.SendNotification(pb.SendNotificationRequest(user_id="ernie", text="x")), "user-not-reachable"),
        (
            ours.SendNotification(pb.SendNotificationRequest(user_id="x", text="x", tenant_id="others")),
            "foreign-tenant",
        ),
        (preferences.GetPreferences(preference_pb.GetPreferencesRequest(user_id="bert")), "foreign-tenant"),
    ):
        assert await refused(call) == reason
