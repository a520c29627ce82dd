"""The mesh over REST, by the paths and bodies that Flowable's clients use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

import httpx

from tests.conformance import shapes
from tests.conformance.driver import (
    Activity,
    Instance,
    Job,
    Refused,
    Start,
    Subscription,
    Task,
    Values,
    Waiting,
    WorkerJob,
)
from tests.conformance.people import People
from tests.conformance.values import as_variables, from_variables

CALL_SECONDS: Final = 20.0
PAGE_SIZE: Final = 200
WORKER: Final = "conformance"
ENGINE: Final = "/process-api"
WORKERS: Final = "/external-job-api"

Json = Any


class _Bearer(httpx.Auth):
    """Sends the administrator's token where a request does not bring another."""

    def __init__(self, people: People) -> None:
        self._people = people

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if "authorization" not in request.headers:
            request.headers.update(dict(self._people.metadata()))
        yield request


class RestDriver:
    """Talks to the edge, such as `http://127.0.0.1:8080`."""

    def __init__(
        self, base_url: str, people: People | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`people` say who calls, without them nobody does; `transport` stands in for the network in tests."""
        self._people = people
        self._client = httpx.AsyncClient(
            base_url=base_url, timeout=CALL_SECONDS, transport=transport, auth=_Bearer(people) if people else None
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def deploy(self, models: Mapping[str, bytes], tenant: str) -> str:
        if len(models) == 1:
            ((name, data),) = models.items()
            file = (PurePosixPath(name).name, data, "text/xml")
        else:
            # Flowable takes exactly one file; several go as a business archive.
            file = ("conformance.bar", _archive(models), "application/zip")
        params = {"deploymentName": "conformance", **({"tenantId": tenant} if tenant else {})}
        answer = await self._ask("POST", f"{ENGINE}/repository/deployments", params=params, files={"file": file})
        return str(answer["id"])

    async def deployments(self) -> list[str]:
        found = await self._all(f"{ENGINE}/repository/deployments", sort="deployTime", order="desc")
        return [each["id"] for each in found]

    async def delete_deployment(self, deployment_id: str) -> None:
        path = f"{ENGINE}/repository/deployments/{_part(deployment_id)}"
        await self._ask("DELETE", path, params={"cascade": "true"})

    async def definitions(self, key: str) -> list[str]:
        return [each["id"] for each in await self._all(f"{ENGINE}/repository/process-definitions", key=key)]

    async def change_definition(self, definition_id: str, action: str) -> None:
        path = f"{ENGINE}/repository/process-definitions/{_part(definition_id)}"
        await self._ask("PUT", path, json={"action": action})

    async def start(self, start: Start) -> str:
        body = _given(
            processDefinitionKey=start.key,
            message=start.message,
            version=start.version,
            businessKey=start.business_key,
            tenantId=start.tenant or None,
            startUserId=start.starter if self._people is None else None,
            variables=as_variables(start.variables),
        )
        by: dict[str, str] = {}
        if self._people is not None and start.starter is not None:
            by = dict(await self._people.metadata_of(start.starter))
        return str((await self._ask("POST", f"{ENGINE}/runtime/process-instances", json=body, headers=by))["id"])

    async def instance(self, instance_id: str) -> Instance | None:
        found = await self._found(f"{ENGINE}/runtime/process-instances/{_part(instance_id)}")
        return shapes.instance(found) if found is not None else None

    async def called_instances(self, instance_id: str, deep: bool) -> list[str]:
        relation = "rootProcessInstanceId" if deep else "superProcessInstanceId"
        found = await self._all(f"{ENGINE}/runtime/process-instances", **{relation: instance_id})
        return [each["id"] for each in found if each["id"] != instance_id]

    async def count_running(self, key: str) -> int:
        return len(await self._all(f"{ENGINE}/runtime/process-instances", processDefinitionKey=key))

    async def change_instance(self, instance_id: str, action: str) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}"
        await self._ask("PUT", path, json={"action": action})

    async def delete_instance(self, instance_id: str, reason: str | None) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}"
        await self._ask("DELETE", path, params=_given(deleteReason=reason))

    async def move(self, instance_id: str, cancel: Sequence[str], start: Sequence[str]) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}/change-state"
        body = {"cancelActivityIds": list(cancel), "startActivityIds": list(start)}
        await self._ask("POST", path, json=body)

    async def migrate(self, instance_id: str, key: str, version: int, mappings: Sequence[Mapping[str, Any]]) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}/migrate"
        body = {
            "toProcessDefinitionKey": key,
            "toProcessDefinitionVersion": version,
            "activityMappings": [dict(each) for each in mappings],
        }
        await self._ask("POST", path, json=body)

    async def variables(self, instance_id: str) -> dict[str, Any]:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}/variables"
        return from_variables(await self._ask("GET", path))

    async def set_variables(self, instance_id: str, values: Values) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}/variables"
        await self._ask("PUT", path, json=as_variables(values))

    async def set_local_variables(self, execution_id: str, values: Values) -> None:
        path = f"{ENGINE}/runtime/executions/{_part(execution_id)}/variables"
        await self._ask("PUT", path, json=as_variables(values, "local"))

    async def remove_variable(self, instance_id: str, name: str) -> None:
        path = f"{ENGINE}/runtime/process-instances/{_part(instance_id)}/variables/{_part(name)}"
        await self._ask("DELETE", path)

    async def waiting(self, instance_id: str, deep: bool) -> list[Waiting]:
        relation = "rootProcessInstanceId" if deep else "processInstanceId"
        found = await self._all(f"{ENGINE}/runtime/executions", waiting="true", **{relation: instance_id})
        return [shapes.waiting(each) for each in found]

    async def subscriptions(self, instance_id: str) -> list[Subscription]:
        found = await self._all(f"{ENGINE}/runtime/event-subscriptions", processInstanceId=instance_id)
        return [shapes.subscription(each) for each in found]

    async def trigger(self, execution_id: str, values: Values) -> None:
        body = {"action": "trigger", "variables": as_variables(values)}
        await self._ask("PUT", f"{ENGINE}/runtime/executions/{_part(execution_id)}", json=body)

    async def correlate(self, name: str, instance_id: str | None, business_key: str | None, values: Values) -> None:
        body = _given(
            messageName=name,
            processInstanceId=instance_id,
            businessKey=business_key,
            variables=as_variables(values),
        )
        await self._ask("POST", f"{ENGINE}/runtime/messages", json=body)

    async def signal(self, name: str, instance_id: str | None, values: Values) -> None:
        body = _given(signalName=name, processInstanceId=instance_id, variables=as_variables(values))
        await self._ask("POST", f"{ENGINE}/runtime/signals", json=body)

    async def tasks(self, instance_id: str, deep: bool) -> list[Task]:
        relation = "processInstanceIdWithChildren" if deep else "processInstanceId"
        found = await self._all(f"{ENGINE}/runtime/tasks", sort="id", order="asc", **{relation: instance_id})
        return [shapes.task(each) for each in found]

    async def candidates(self, task_id: str) -> tuple[list[str], list[str]]:
        return shapes.candidates(await self._ask("GET", f"{ENGINE}/runtime/tasks/{_part(task_id)}/identitylinks"))

    async def complete(self, task_id: str, values: Values, local: bool, outcome: str | None) -> None:
        variables = as_variables(values, "local" if local else "")
        await self._act(task_id, _given(action="complete", variables=variables, outcome=outcome))

    async def claim(self, task_id: str, user: str | None) -> None:
        await self._act(task_id, _given(action="claim", assignee=user))

    async def unclaim(self, task_id: str) -> None:
        await self._act(task_id, {"action": "unclaim"})

    async def delegate(self, task_id: str, user: str | None) -> None:
        await self._act(task_id, _given(action="delegate", assignee=user))

    async def resolve(self, task_id: str) -> None:
        await self._act(task_id, {"action": "resolve"})

    async def assign(self, task_id: str, user: str | None) -> None:
        body = {"assignee": user} if user is not None else {"clear": ["assignee"]}
        await self._ask("PUT", f"{ENGINE}/runtime/tasks/{_part(task_id)}", json=body)

    async def jobs(self, instance_id: str, kind: str) -> list[Job]:
        found = await self._all(f"{ENGINE}/management/{kind}", processInstanceId=instance_id)
        return [shapes.job(each) for each in found]

    async def revive(self, job_id: str) -> None:
        path = f"{ENGINE}/management/deadletter-jobs/{_part(job_id)}"
        await self._ask("POST", path, json={"action": "move"})

    async def run_jobs(self, most: int | None) -> None:
        await self._ask("POST", f"{ENGINE}/management/run-jobs", json=_given(maxJobs=most))

    async def advance_clock(self, duration: str, fire: bool) -> None:
        await self._ask("POST", f"{ENGINE}/management/clock", json={"advance": duration, "fire": fire})

    async def acquire(self, topic: str) -> WorkerJob | None:
        body = {"topic": topic, "workerId": WORKER, "lockDuration": "PT5M", "numberOfTasks": 1}
        found = await self._ask("POST", f"{WORKERS}/acquire/jobs", json=body)
        return shapes.worker_job(found[0]) if found else None

    async def complete_job(self, job: WorkerJob, values: Values) -> None:
        await self._report(job, "complete", variables=as_variables(values))

    async def fail_job(self, job: WorkerJob, message: str, retries: int | None) -> None:
        await self._report(job, "fail", errorMessage=message, retries=retries, retryTimeout="PT0S")

    async def throw_bpmn_error(self, job: WorkerJob, code: str, values: Values) -> None:
        await self._report(job, "bpmnError", errorCode=code, variables=as_variables(values))

    async def historic_instance(self, instance_id: str) -> Instance | None:
        found = await self._found(f"{ENGINE}/history/historic-process-instances/{_part(instance_id)}")
        return shapes.instance(found) if found is not None else None

    async def count_historic(self, definition_id: str, state: str) -> int:
        path = f"{ENGINE}/history/historic-process-instances"
        return len(await self._all(path, processDefinitionId=definition_id, state=state))

    async def historic_variables(self, instance_id: str, deep: bool) -> list[dict[str, Any]]:
        relation = "processInstanceIdWithChildren" if deep else "processInstanceId"
        found = await self._all(
            f"{ENGINE}/history/historic-variable-instances",
            excludeTaskVariables="true",
            excludeLocalVariables="true",
            **{relation: instance_id},
        )
        return [each["variable"] for each in found]

    async def activities(self, instance_id: str) -> list[Activity]:
        found = await self._all(f"{ENGINE}/history/historic-activity-instances", processInstanceId=instance_id)
        return [shapes.activity(each) for each in found]

    async def _act(self, task_id: str, body: Mapping[str, Json]) -> None:
        await self._ask("POST", f"{ENGINE}/runtime/tasks/{_part(task_id)}", json=body)

    async def _report(self, job: WorkerJob, outcome: str, **facts: Json) -> None:
        body = _given(workerId=WORKER, lockToken=job.lock_token, **facts)
        await self._ask("POST", f"{WORKERS}/acquire/jobs/{_part(job.id)}/{outcome}", json=body)

    async def _all(self, path: str, **params: str) -> list[Json]:
        """Return every page of a list."""
        found: list[Json] = []
        while True:
            page = await self._ask("GET", path, params={**params, "start": len(found), "size": PAGE_SIZE})
            data = page.get("data", [])
            found.extend(data)
            if len(data) < PAGE_SIZE:
                return found

    async def _found(self, path: str) -> Json | None:
        try:
            return await self._ask("GET", path)
        except Refused as refused:
            if refused.code == "NOT_FOUND":
                return None
            raise

    async def _ask(self, verb: str, path: str, **rest: Any) -> Json:
        try:
            answer = await self._client.request(verb, path, **rest)
        except httpx.TimeoutException as failed:
            raise Refused("DEADLINE_EXCEEDED", f"no answer to {verb} {path} in {CALL_SECONDS} s") from failed
        except httpx.TransportError as failed:
            raise Refused("UNAVAILABLE", f"{verb} {path}: {failed}") from failed
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer.json() if answer.content else {}


def _refusal(answer: httpx.Response) -> Refused:
    """The error body is Flowable's `message` and `exception`, and our `code` and `reason`."""
    try:
        body = answer.json()
        return Refused(str(body["code"]), str(body.get("exception") or body.get("message", "")))
    except (ValueError, KeyError, TypeError):
        return Refused(f"HTTP {answer.status_code}", answer.text[:500])


def _given(**facts: Json) -> dict[str, Json]:
    return {name: value for name, value in facts.items() if value is not None}


def _part(text: str) -> str:
    return quote(text, safe="")


def _archive(models: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in models.items():
            archive.writestr(name, data)
    return packed.getvalue()
