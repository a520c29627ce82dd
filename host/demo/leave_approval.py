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

from host.demo.mailbox import show_mail_to
from host.demo.mesh import MeshNotStarted, MeshOptions, running_mesh
from host.demo.people import EMPLOYEE, MANAGER, People, assemble
from host.demo.rest import DemoFailed, LocalFile, ShownRest
from host.demo.worker import book_absences

HERE: Final = Path(__file__).parent
MODEL: Final = HERE / "leave-approval.bpmn20.xml"
FORMS: Final = (HERE / "leave-request.form", HERE / "leave-decision.form")
PAYROLL: Final = "payroll"
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
    say("Starting a mesh of its own: all services and Envoy, on free ports, in a temporary folder ...")
    password = secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="flowloom-demo-") as folder:
        try:
            settings = {"FLOWLOOM_ACCESS_MODE": "enforced", "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": password}
            with running_mesh(Path(folder), MeshOptions(environment=settings)) as mesh:
                say(f"  REST and gRPC at {mesh.rest}, ready after {time.monotonic() - started:.1f} s")
                asyncio.run(tell_story(mesh.rest, password, Path(folder) / "data" / "mail", say))
        except (DemoFailed, MeshNotStarted, httpx.HTTPError, grpc.aio.AioRpcError) as failed:
            say(f"\nThe demo failed: {failed}")
            return False
    say(f"\nAll as expected, in {time.monotonic() - started:.1f} s. The mesh is stopped and its data is gone.")
    say("To keep one running: flowloom up")
    return True


async def tell_story(edge: str, password: str, mail: Path, say: Callable[[str], None] = print) -> None:
    """Tell the story to a mesh that nobody has told it to yet.

    `edge` is the base URL of REST, where gRPC is too; `password` the administrator's; `mail` the Maildir of notify.
    Raises DemoFailed where an answer is not as it should be.
    """
    rest = ShownRest(edge, say)
    try:
        say("\n1. The administrator logs in and makes the people of this story; privileges go to groups")
        people = await assemble(rest, password, say)
        worker = asyncio.create_task(book_absences(edge.removeprefix("http://"), people.worker_token, say))
        story = asyncio.create_task(_story(people, mail, say))
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
    finally:
        await rest.close()


async def _story(people: People, mail: Path, say: Callable[[str], None]) -> None:
    admin, kermit, maria = people.administrator, people.employee, people.manager
    say("\n2. Deploy the forms and the model, as Flowable's clients do")
    for form in FORMS:
        await admin.upload("/form-api/form-repository/deployments", LocalFile.read(form), 201, ("id", "name"))
    model = LocalFile.read(MODEL)
    await admin.upload(f"{API}/repository/deployments", model, 201, ("id", "name"), deploymentName="leave-approval")
    shown = ("id", "key", "version", "startFormDefined")
    found = await kermit.get(f"{API}/repository/process-definitions", shown, key=KEY)
    _expect("one version of the definition", len(found["data"]) == 1, found)
    say("  Payroll has its word at the end: an instance is over when it has confirmed")
    payroll = {"name": PAYROLL, "processDefinitionKey": KEY, "topic": PAYROLL, "timeout": "PT1M"}
    await admin.post("/saga-api/participants", payroll, 201, ("name", "topic", "timeout"))

    say("\n3. Kermit asks for leave; the form tells him all that is wrong at once")
    instance_id = await _request_leave(kermit)

    say("\n4. Maria gets a mail, since she may decide")
    await show_mail_to(f"{MANAGER}@example.org", mail, say)
    managers = {"candidateUser": MANAGER, "processInstanceId": instance_id}
    found = await maria.get(f"{API}/runtime/tasks", ("id", "name", "description", "priority"), **managers)
    _expect("the one task to be of high priority", [t.get("priority") for t in found["data"]] == [80], found)
    decision_id = found["data"][0]["id"]

    say("\n5. Nobody answers: after two seconds the timer on the task calls for a reminder")
    hr = {"candidateGroup": "hr", "processInstanceId": instance_id}
    found = await admin.get_when(f"{API}/runtime/tasks", ("id", "name"), lambda page: bool(page.get("data")), **hr)
    await admin.post(f"{API}/runtime/tasks/{found['data'][0]['id']}", {"action": "complete"}, 200)

    say("\n6. Kermit may not decide himself; Maria takes the task, and nobody else can have it any more")
    task = f"{API}/runtime/tasks/{decision_id}"
    refusal = ("message", "exception")
    await kermit.post(task, {"action": "claim", "assignee": EMPLOYEE}, 403, refusal)
    await maria.post(task, {"action": "claim", "assignee": MANAGER}, 200)
    await admin.post(task, {"action": "claim", "assignee": "peter"}, 409, refusal)

    say("\n7. She fills in the form and grants the leave: three branches tell everybody, one by an external worker")
    form = await maria.get(f"{task}/form", ("id", "key", "name"))
    decision = {"action": "complete", "formDefinitionId": form["id"], "outcome": "grant"}
    variables = [{"name": "approved", "value": True}, {"name": "comment", "value": "Have fun"}]
    await maria.post(task, {**decision, "variables": variables}, 200)

    say("\n8. Payroll confirms, and the saga that ends the instance is closed; its log says what happened")
    await _confirm(admin, instance_id)

    say("\n9. The end, as the history tells it")
    await _the_end(admin, instance_id, say)


async def _request_leave(rest: ShownRest) -> str:
    path = f"{API}/runtime/process-instances"

    def asking(**form: object) -> dict[str, object]:
        values = [{"name": name, "value": value} for name, value in form.items()]
        return {"processDefinitionKey": KEY, "businessKey": "leave-2026-042", "startFormVariables": values}

    refused = await rest.post(path, asking(days=99), 400, ("exception",))
    faults = ("fields.employee", "fields.days")
    _expect(f"the faults of {faults}", all(fault in refused["exception"] for fault in faults), refused)
    shown = ("id", "businessKey", "processDefinitionKey", "state")
    started = await rest.post(path, asking(employee="Kermit", days=12, reason="A swamp by the sea"), 201, shown)
    _expect("an active instance", started.get("state") == "active", started)
    return str(started["id"])


async def _confirm(rest: ShownRest, instance_id: str) -> None:
    sagas = "/saga-api/sagas"
    shown = ("id", "name", "state", "stepId")
    about = {"processInstanceId": instance_id, "name": "completion"}
    found = await rest.get_when(sagas, shown, lambda page: bool(page.get("data")), **about)
    saga = found["data"][0]
    await rest.post(f"{sagas}/{saga['id']}/steps/{saga['stepId']}/confirm", {}, 204)
    over = await rest.get_when(f"{sagas}/{saga['id']}", shown, lambda one: one.get("state") != "STARTED")
    _expect("the saga completed", over["state"] == "COMPLETED", over)
    log = await rest.get(f"{sagas}/{saga['id']}/log", ("number", "stepId", "state", "durationInMillis"))
    done = {line.get("stepId") for line in log["data"] if line["state"] == "COMPLETED"}
    _expect(f"the step {PAYROLL} and the saga itself completed", {PAYROLL, None} <= done, log)


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

    say("  And in numbers, for whoever looks for the bottleneck:")
    numbers = ("activityId", "started", "completed", "durationInMillis")
    found = await rest.get("/history-api/statistics/bottlenecks", numbers, processDefinitionKey=KEY, limit="3")
    slowest = [each["activityId"] for each in found["data"]]
    _expect("the decision to be among the slowest", "approveLeave" in slowest, slowest)


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
