"""A whole mesh that checks access: people of identity get mail about their tasks, and say themselves what they want."""

from __future__ import annotations

import mailbox
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.identity.v1 import identity_service_pb2 as idm
from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import preference_service_pb2 as preference_pb
from flowloom.notify.v1 import preferences_pb2
from flowloom.notify.v1.notification_service_pb2_grpc import NotificationServiceStub
from flowloom.notify.v1.preference_service_pb2_grpc import PreferenceServiceStub

from mesh.rpc_errors import refusal_in
from tests.host.enforced import Mesh, Person, enforced_mesh
from tests.notify.worlds import eventually


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with enforced_mesh(tmp_path) as found:
        yield found


def _mails(folder: Path) -> list[tuple[str, str]]:
    """Recipient and subject of each mail in the folder."""
    if not (folder / "mail" / "new").exists():
        return []
    return sorted((str(mail["To"]), str(mail["Subject"])) for mail in mailbox.Maildir(str(folder / "mail")))


async def _refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    found = refusal_in(failed.value)
    assert found is not None
    return found.reason


async def _add_kermit(admin: Person) -> str:
    password = await admin.make_user("kermit")
    await admin.identity.UpdateUser(
        idm.UpdateUserRequest(user_id="kermit", email="kermit@pond.example", display_name="Kermit the Frog")
    )
    await admin.identity.CreateGroup(idm.CreateGroupRequest(id="frogs", name="Frogs"))
    await admin.identity.CreateMembership(idm.CreateMembershipRequest(group_id="frogs", user_id="kermit"))
    return password


async def test_mail_about_tasks_lies_in_the_folder_of_the_mesh(mesh: Mesh, tmp_path: Path) -> None:
    admin = await mesh.log_in()
    await _add_kermit(admin)

    task = await admin.tasks.CreateTask(ts.CreateTaskRequest(name="Catch flies", assignee="kermit"))

    expected = [("kermit@pond.example", "Assigned to you: Catch flies")]
    await eventually(lambda: _mails(tmp_path) == expected, "the mail")
    notifications = NotificationServiceStub(admin.channel)
    (delivery,) = (await notifications.ListDeliveries(pb.ListDeliveriesRequest(task_id=task.id))).data
    assert (delivery.recipient, delivery.event) == ("kermit", "task-assigned")


async def test_everybody_sets_their_own_preferences_and_sees_no_log_that_they_may_not(
    mesh: Mesh, tmp_path: Path
) -> None:
    admin = await mesh.log_in()
    password = await _add_kermit(admin)
    kermit = await mesh.log_in("kermit", password)
    own = PreferenceServiceStub(kermit.channel)
    wanted = preferences_pb2.Preferences(language="de")

    await own.UpdateOwnPreferences(preference_pb.UpdateOwnPreferencesRequest(preferences=wanted))
    await admin.tasks.CreateTask(ts.CreateTaskRequest(name="Fliegen fangen", assignee="kermit"))

    expected = [("kermit@pond.example", "Ihnen zugewiesen: Fliegen fangen")]
    await eventually(lambda: _mails(tmp_path) == expected, "the mail in German")
    others = preference_pb.UpdatePreferencesRequest(user_id="admin", preferences=wanted)
    calls: list[Callable[[], Any]] = [
        lambda: own.UpdatePreferences(others),
        lambda: NotificationServiceStub(kermit.channel).ListDeliveries(pb.ListDeliveriesRequest()),
        lambda: NotificationServiceStub(kermit.channel).SendNotification(pb.SendNotificationRequest(user_id="admin")),
    ]
    assert [await _refused(call()) for call in calls] == ["privilege-missing"] * 3


async def test_whoever_may_send_does_not_have_to_be_allowed_to_look_people_up(mesh: Mesh, tmp_path: Path) -> None:
    admin = await mesh.log_in()
    await _add_kermit(admin)
    robin = await mesh.log_in("robin", await admin.make_user("robin", "notify.notification.send"))
    note = pb.SendNotificationRequest(user_id="kermit", subject="Hello", text="There")

    await NotificationServiceStub(robin.channel).SendNotification(note)

    await eventually(lambda: _mails(tmp_path) == [("kermit@pond.example", "Hello")], "the mail")
