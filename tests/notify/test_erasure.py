"""Erasing a recipient leaves nothing of theirs in any table, and takes nothing of others."""

import asyncio
import threading
from typing import Any

from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import notification_service_pb2_grpc
from flowloom.notify.v1 import preference_service_pb2 as preference_pb
from sqlalchemy import select

from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from notify.storage import tables
from tests.notify.test_deliveries import refused, send
from tests.notify.worlds import SECONDS, OneTenant, Running, World


def everything(notify: Running) -> dict[str, str]:
    """What every table holds, as text."""
    with notify.service._database.reader.connect() as reader:
        return {table.name: str(reader.execute(select(table)).all()) for table in tables.metadata.sorted_tables}


async def erase(notify: Running, user_id: str, request_id: str = "") -> dict[str, int]:
    request = pb.EraseRecipientRequest(user_id=user_id, request_id=request_id)
    return dict((await notify.notifications.EraseRecipient(request)).removed)


async def test_nothing_of_an_erased_recipient_is_left(world: World) -> None:
    world.identity.add("anna-berg", email="annabell@pond.example")
    world.identity.add("piggy")
    notify = await world.start()
    await send(notify, user_id="anna-berg", text="Annabell, look", request_id="r-1")
    await send(notify, user_id="piggy", request_id="r-2")
    await send(notify, user_id="anna-berg", channel="mail")
    await notify.settled()
    wanted = preference_pb.UpdatePreferencesRequest(user_id="anna-berg", request_id="r-3")
    wanted.preferences.channels.add(channel="mail", address="annabell@home.example")
    await notify.preferences.UpdatePreferences(wanted)
    (delivery, *_) = await notify.deliveries(recipient="anna-berg")
    await notify.notifications.ResendDelivery(pb.ResendDeliveryRequest(delivery_id=delivery.id, request_id="r-4"))
    await notify.settled()
    before = await asyncio.to_thread(everything, notify)

    erased = await erase(notify, "anna-berg", "r-5")
    again = await erase(notify, "anna-berg")
    retried = await erase(notify, "anna-berg", "r-5")

    after = await asyncio.to_thread(everything, notify)
    assert sum("nnabell" in text for text in before.values()) == 3
    assert {name: text for name, text in after.items() if "anna-berg" in text or "nnabell" in text} == {}
    assert erased == retried == {"preferences": 1, "delivery": 2, "answer": 3}
    assert set(again.values()) == {0}
    assert [found.recipient for found in await notify.deliveries()] == ["piggy"]
    assert "r-2" in after["answered_request"]


async def test_what_is_being_sent_while_its_recipient_is_erased_is_not_written_again(small_world: World) -> None:
    small_world.identity.add("anna-berg")
    reached, released = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        reached.set()
        released.wait(SECONDS)

    small_world.mail.on_mail = hold
    notify = await small_world.start()
    await send(notify, user_id="anna-berg")
    assert await asyncio.to_thread(reached.wait, SECONDS)

    erased = await erase(notify, "anna-berg")
    released.set()
    await notify.service._sender.drain()

    assert erased["delivery"] == 1
    assert len(small_world.mail.mails) == 1
    assert await notify.deliveries() == []


async def test_an_erasure_needs_a_user_and_a_caller_who_sees_all_tenants(small_world: World) -> None:
    notify = await small_world.start()
    server = LocalServer()
    notify.service.add_to(GuardedServer((server,), access=OneTenant("muppets")))
    await server.start()
    channel: Any = LocalChannel(server)
    ours: Any = notification_service_pb2_grpc.NotificationServiceStub(channel)

    assert await refused(erase(notify, "")) == "no-user"
    assert await refused(erase(notify, "x" * 256)) == "no-user"
    assert await refused(ours.EraseRecipient(pb.EraseRecipientRequest(user_id="ernie"))) == "all-tenants-needed"
    await server.stop(None)
