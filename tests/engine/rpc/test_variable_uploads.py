"""Binary variables that are sent as forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as pb
from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.engine.v1 import variable_pb2
from google.api import httpbody_pb2

from tests.engine.rpc.world import ONE_TASK, Mesh, refusing

FILE = b"\x00\x01 bytes"


def form(*files: bytes, **fields: str) -> httpbody_pb2.HttpBody:
    """A multipart body of plain fields and files."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    parts += [
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data + b"\r\n" for data in files
    ]
    return httpbody_pb2.HttpBody(content_type="multipart/form-data; boundary=x", data=b"".join(parts) + b"--x--\r\n")


Upload = Callable[..., Awaitable[variable_pb2.Variable]]


@pytest.fixture
async def instance_id(mesh: Mesh) -> str:
    await mesh.deploy(ONE_TASK)
    return await mesh.start("one")


@pytest.fixture
def upload(mesh: Mesh, instance_id: str) -> Upload:
    """Uploads to the instance."""

    async def send(file: httpbody_pb2.HttpBody, **more: Any) -> variable_pb2.Variable:
        request = pb.UploadProcessInstanceVariableRequest(process_instance_id=instance_id, file=file, **more)
        found: variable_pb2.Variable = await mesh.runtime.UploadProcessInstanceVariable(request)
        return found

    return send


async def _bytes(mesh: Mesh, instance_id: str, name: str) -> bytes:
    asked = pb.GetProcessInstanceVariableDataRequest(process_instance_id=instance_id, variable_name=name)
    found = await mesh.runtime.GetProcessInstanceVariableData(asked)
    return bytes(found.data)


async def test_a_form_creates_a_variable_and_changes_it(mesh: Mesh, instance_id: str, upload: Upload) -> None:
    made = await upload(form(FILE, name="scan", type="binary"))
    assert (made.name, made.type, made.scope) == ("scan", "binary", "local")
    assert made.value_url.endswith(f"/process-instances/{instance_id}/variables/scan/data")
    assert await _bytes(mesh, instance_id, "scan") == FILE

    await upload(form(b"new"), variable_name="scan")

    assert await _bytes(mesh, instance_id, "scan") == b"new"


async def test_what_is_there_is_not_created_and_what_is_not_is_not_changed(upload: Upload) -> None:
    await upload(form(FILE, name="scan"))

    with refusing("ALREADY_EXISTS", "variable-exists"):
        await upload(form(FILE, name="scan"))
    with refusing("NOT_FOUND", "variable-not-found"):
        await upload(form(FILE, name="other"), variable_name="other")


async def test_a_repeated_upload_gets_the_first_answer(upload: Upload) -> None:
    first = await upload(form(FILE, name="scan"), request_id="r")

    assert await upload(form(FILE, name="scan"), request_id="r") == first


@pytest.mark.parametrize(
    ("file", "more", "reason"),
    [
        (form(name="scan"), {}, "invalid-request"),
        (form(FILE, FILE, name="scan"), {}, "invalid-request"),
        (form(FILE), {}, "invalid-request"),
        (form(FILE, name="n" * 256), {}, "invalid-request"),
        (form(FILE, name="scan"), {"variable_name": "other"}, "invalid-request"),
        (form(FILE, name="scan", type="serializable"), {}, "invalid-request"),
        (form(FILE, name="scan", scope="world"), {}, "unknown-scope"),
        (httpbody_pb2.HttpBody(content_type="application/json", data=b"{}"), {}, "not-multipart"),
    ],
)
async def test_a_form_that_does_not_say_one_binary_variable_is_refused(
    upload: Upload, file: httpbody_pb2.HttpBody, more: dict[str, Any], reason: str
) -> None:
    with refusing("INVALID_ARGUMENT", reason):
        await upload(file, **more)


async def test_tasks_and_executions_have_forms_with_a_scope(mesh: Mesh, instance_id: str) -> None:
    (task,) = (await mesh.tasks.ListTasks(ts.ListTasksRequest(process_instance_id=instance_id))).data

    own = await mesh.tasks.UploadTaskVariable(
        ts.UploadTaskVariableRequest(task_id=task.id, file=form(FILE, name="own"))
    )
    outer = await mesh.runtime.UploadExecutionVariable(
        pb.UploadExecutionVariableRequest(execution_id=task.execution_id, file=form(FILE, name="outer", scope="global"))
    )

    assert (own.scope, outer.scope) == ("local", "global")
    assert await _bytes(mesh, instance_id, "outer") == FILE
    asked = pb.GetExecutionVariableDataRequest(execution_id=task.execution_id, variable_name="own", scope="local")
    assert (await mesh.runtime.GetExecutionVariableData(asked)).data == FILE
    with refusing("NOT_FOUND"):
        await mesh.tasks.UploadTaskVariable(ts.UploadTaskVariableRequest(task_id="x", file=form(FILE, name="own")))
