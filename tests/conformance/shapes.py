"""The API's JSON, which is the same over both faces, as the runner's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.conformance.driver import Activity, Instance, Job, Subscription, Task, Waiting, WorkerJob

Json = Mapping[str, Any]


def task(found: Json) -> Task:
    return Task(
        id=found["id"],
        name=found.get("name"),
        key=found.get("taskDefinitionKey"),
        assignee=found.get("assignee"),
        owner=found.get("owner"),
        due=found.get("dueDate"),
        priority=int(found.get("priority", 0)),
        category=found.get("category"),
        form_key=found.get("formKey"),
        description=found.get("description"),
        delegation=found.get("delegationState"),
    )


def instance(found: Json) -> Instance:
    return Instance(
        id=found["id"],
        key=found.get("processDefinitionKey", ""),
        state=found.get("state", ""),
        end_activity_id=found.get("endActivityId", ""),
    )


def waiting(found: Json) -> Waiting:
    return Waiting(execution_id=found["id"], activity_id=found.get("activityId", ""))


def job(found: Json) -> Job:
    return Job(id=found["id"], kind=found.get("kind", ""), handler=found.get("handlerType", ""))


def worker_job(found: Json) -> WorkerJob:
    return WorkerJob(id=found["id"], lock_token=found.get("lockToken"))


def subscription(found: Json) -> Subscription:
    return Subscription(kind=found.get("eventType", ""), name=found.get("eventName", ""))


def activity(found: Json) -> Activity:
    return Activity(
        activity_id=found.get("activityId", ""),
        ended="endTime" in found,
        canceled=bool(found.get("canceled", False)),
    )


def candidates(links: Sequence[Json]) -> tuple[list[str], list[str]]:
    wanted = [link for link in links if link.get("type") == "candidate"]
    return [link["user"] for link in wanted if "user" in link], [link["group"] for link in wanted if "group" in link]
