"""The story of the demonstration: a leave is requested, nobody answers in time, a manager grants it, everybody knows.

`run_demo` starts a mesh on free ports in a temporary folder, tells the story over REST, and checks each answer.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import httpx

from host.demo.mesh import Mesh, MeshNotStarted, MeshOptions, running_mesh
from host.demo.rest import DemoFailed, LocalFile, ShownRest
from host.demo.worker import book_absences

MODEL: Final = Path(__file__).parent / "leave-approval.bpmn20.xml"
API: Final = "/process-api"
KEY: Final = "leaveApproval"

ENDED: Final = frozenset(
    {
        "leaveRequested",
        "approveLeave",
        "noAnswerYet",
        "remindManagers",
        "reminded",
        "decision",
        "spreadTheNews",
        "writeToEmployee",
        "writeToTeam",
        "bookAbsence",
        "allKnow",
        "leaveGranted",
    }
)
"""The elements that the story passes; the way of a refusal is not among them."""

RESULTS: Final = {
    "mailToEmployee": "Dear Kermit, enjoy your 12 days!",
    "mailToTeam": "Kermit is away for 12 days.",
    "booking": "Kermit is booked as absent for 12 days",
}


def run_demo(say: Callable[[str], None] = print) -> bool:
    """Run the demonstration and tell whether all came out as it should; whatever happens, nothing is left behind."""
    started = time.monotonic()
    say("Starting a mesh of its own: engine, history and Envoy, on free ports, in a temporary folder ...")
    with tempfile.TemporaryDirectory(prefix="flowloom-demo-") as folder:
        try:
            password = secrets.token_urlsafe(12)
            options = MeshOptions(environment={"FLOWLOOM_IDENTITY_ADMIN_PASSWORD": password})
            with running_mesh(Path(folder), options) as mesh:
                say(f"  REST and gRPC at {mesh.rest}, ready after {time.monotonic() - started:.1f} s")
                asyncio.run(_told(mesh, password, LocalFile.read(MODEL), say))
        except (DemoFailed, MeshNotStarted, httpx.HTTPError, grpc.aio.AioRpcError) as failed:
            say(f"\nThe demo failed: {failed}")
            return False
    say(f"\nAll as expected, in {time.monotonic() - started:.1f} s. The mesh is stopped and its data is gone.")
    say("To keep one running: flowloom up")
    return True


async def _told(mesh: Mesh, password: str, model: LocalFile, say: Callable[[str], None]) -> None:
    rest = ShownRest(mesh.rest, say)
    say("\n0. Log in")
    token = await rest.log_in("admin", password)
    worker = asyncio.create_task(book_absences(mesh.rest.removeprefix("http://"), token, say))
    story = asyncio.create_task(_story(rest, model, say))
    try:
        # A worker that fails ends the story, which would wait for it in vain.
        await asyncio.wait((worker, story), return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            await worker
        await story
    finally:
        for task in (story, worker):
            task.cancel()
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError, DemoFailed, httpx.HTTPError):
                await task
        await rest.close()


async def _story(rest: ShownRest, model: LocalFile, say: Callable[[str], None]) -> None:
    say("\n1. Deploy the model, as Flowable's clients do")
    await rest.upload(f"{API}/repository/deployments", model, 201, ("id", "name"), deploymentName="leave-approval")
    shown = ("id", "key", "version", "startFormDefined")
    found = await rest.get(f"{API}/repository/process-definitions", shown, key=KEY)
    _expect("one version of the definition", len(found["data"]) == 1, found)

    say("\n2. Kermit fills in the form and asks for leave")
    instance_id = await _request_leave(rest)

    say("\n3. The managers find the task")
    managers = {"candidateGroup": "managers", "processInstanceId": instance_id}
    found = await rest.get(f"{API}/runtime/tasks", ("id", "name", "description", "priority"), **managers)
    _expect("the one task to be of high priority", [t.get("priority") for t in found["data"]] == [80], found)
    decision_id = found["data"][0]["id"]

    say("\n4. Nobody answers: after two seconds the timer on the task calls for a reminder")
    hr = {"candidateGroup": "hr", "processInstanceId": instance_id}
    found = await rest.get_when(f"{API}/runtime/tasks", ("id", "name"), lambda page: bool(page.get("data")), **hr)
    await rest.post(f"{API}/runtime/tasks/{found['data'][0]['id']}", {"action": "complete"}, 200)

    say("\n5. Maria takes the task, and nobody else can have it any more")
    await rest.post(f"{API}/runtime/tasks/{decision_id}", {"action": "claim", "assignee": "maria"}, 200)
    conflict = {"action": "claim", "assignee": "peter"}
    await rest.post(f"{API}/runtime/tasks/{decision_id}", conflict, 409, ("message", "exception"))

    say("\n6. She grants the leave: three branches tell everybody, one of them by an external worker")
    decision = [{"name": "approved", "value": True}, {"name": "comment", "value": "Have fun"}]
    await rest.post(f"{API}/runtime/tasks/{decision_id}", {"action": "complete", "variables": decision}, 200)

    say("\n7. The end, as the history tells it")
    await _the_end(rest, instance_id, say)


async def _request_leave(rest: ShownRest) -> str:
    form = {"employee": "Kermit", "days": 12, "reason": "A swamp by the sea"}
    body = {
        "processDefinitionKey": KEY,
        "businessKey": "leave-2026-042",
        "variables": [{"name": name, "value": value} for name, value in form.items()],
    }
    shown = ("id", "businessKey", "processDefinitionKey", "state")
    started = await rest.post(f"{API}/runtime/process-instances", body, 201, shown)
    _expect("an active instance", started.get("state") == "active", started)
    return str(started["id"])


async def _the_end(rest: ShownRest, instance_id: str, say: Callable[[str], None]) -> None:
    shown = ("id", "businessKey", "state", "startActivityId", "endActivityId", "durationInMillis")
    path = f"{API}/history/historic-process-instances/{instance_id}"
    past = await rest.get_when(path, shown, lambda instance: instance.get("state") != "active")
    _expect("the instance completed", past["state"] == "completed", past)
    _expect("it to end at leaveGranted", past.get("endActivityId") == "leaveGranted", past)

    path = f"{API}/history/historic-activity-instances"
    found = await rest.get(path, (), processInstanceId=instance_id, size="100")
    activities = [each for each in found["data"] if each["activityType"] != "sequenceFlow"]
    for line in _table(activities):
        say(f"      {line}")
    unfinished = [each["activityId"] for each in activities if "endTime" not in each]
    _expect("every activity ended", not unfinished, unfinished)
    passed = {each["activityId"] for each in activities}
    _expect(f"the activities {sorted(ENDED)}", passed == ENDED, sorted(passed))

    path = f"{API}/history/historic-variable-instances"
    found = await rest.get(path, (), processInstanceId=instance_id, size="100")
    values = {each["variable"]["name"]: each["variable"].get("value") for each in found["data"]}
    for name, value in values.items():
        say(f"      {name} = {value}")
    results = {name: values.get(name) for name in RESULTS}
    _expect(f"the variables {RESULTS}", results == RESULTS, results)


def _table(activities: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            each["activityId"],
            each["activityType"],
            str(each.get("assignee", "")),
            f"{each.get('durationInMillis', 0):.0f} ms",
        )
        for each in activities
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(4)] if rows else [0] * 4
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _expect(what: str, holds: bool, found: object) -> None:
    if not holds:
        raise DemoFailed(what, found)
