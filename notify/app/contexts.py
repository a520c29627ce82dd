"""What templates are given: plain values, the same for every event, as docs/notify.md lists them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from notify.model.names import EVENTS, INCIDENT, MESSAGE, PROCESS_COMPLETED, PROCESS_FAILED
from notify.model.records import Facts, Notice, Task
from notify.model.schedule import zone_of

_MOMENTS: Final = ("due_date", "created_at")
_DAY_FIRST: Final = frozenset(("de",))
TASK_PLACE: Final = "{task_id}"


def task_facts(task: Task, task_url: str) -> Facts:
    """A task as templates see it; its moments are ISO 8601 in UTC until `localized`."""
    return {
        "id": task.id,
        "name": task.name or task.id,
        "description": task.description,
        "assignee": task.assignee,
        "owner": task.owner,
        "priority": task.priority,
        "due_date": task.due_date.isoformat() if task.due_date is not None else "",
        "created_at": task.created_at.isoformat(),
        "link": task_url.replace(TASK_PLACE, task.id),
    }


def facts_of(notice: Notice, task: Task | None, task_url: str) -> Facts:
    """What is known of a notice's subject."""
    facts: Facts = {"event": notice.event}
    if task is not None:
        facts["task"] = task_facts(task, task_url)
        if task.instance_id:
            facts["process"] = {
                "id": task.instance_id,
                "name": task.instance_name,
                "business_key": task.business_key,
                "definition_key": task.definition_key,
                "definition_name": task.definition_name or task.definition_key,
            }
    for name in ("process", "incident", "reason", "actor"):
        if notice.facts.get(name):
            facts[name] = notice.facts[name]
    return facts


def localized(context: Facts, now: datetime) -> Facts:
    """The context with its moments as its recipient writes them, in their zone."""
    zone = zone_of(context.get("time_zone") or "UTC")
    language = str(context.get("language", ""))
    day_first = language.partition("-")[0] in _DAY_FIRST

    def spell(moment: datetime) -> str:
        local = moment.astimezone(zone)
        return local.strftime("%d.%m.%Y %H:%M" if day_first else "%Y-%m-%d %H:%M") + f" ({local.tzname()})"

    def one(facts: Facts) -> Facts:
        found = _whole(facts)
        task = found.get("task")
        if isinstance(task, dict):
            moments = {name: spell(datetime.fromisoformat(task[name])) for name in _MOMENTS if task.get(name)}
            found["task"] = {**task, **moments}
        return found

    shown = one(context)
    shown["now"] = spell(now)
    shown["entries"] = [one(entry) for entry in shown["entries"]]
    return shown


_NOTHING: Final[Facts] = {
    "event": "",
    "task": {
        "id": "",
        "name": "",
        "description": "",
        "assignee": "",
        "owner": "",
        "priority": 0,
        "due_date": "",
        "created_at": "",
        "link": "",
    },
    "process": {"id": "", "name": "", "business_key": "", "definition_key": "", "definition_name": ""},
    "recipient": {"id": "", "name": ""},
    "incident": {"id": "", "reason": "", "message": "", "element_id": ""},
    "message": {"subject": "", "text": "", "html": ""},
    "entries": [],
    "reason": "",
    "actor": "",
}


def _whole(facts: Facts) -> Facts:
    """With all names: those that an event does not have are empty, so that a template may ask for them."""
    found = {**_NOTHING, **facts}
    for name, nothing in _NOTHING.items():
        if isinstance(nothing, dict) and isinstance(found[name], dict):
            found[name] = {**nothing, **found[name]}
    return found


def example(event: str, now: datetime, language: str, time_zone: str) -> Facts:
    """A context of an event to try a template with."""
    process = {
        "id": "0199-process",
        "name": "Leave of Kermit",
        "business_key": "LEAVE-7",
        "definition_key": "leaveApproval",
        "definition_name": "Leave approval",
    }
    task = {
        "id": "0199-task",
        "name": "Approve the leave",
        "description": "Two days in May",
        "assignee": "kermit",
        "owner": "",
        "priority": 50,
        "due_date": now.isoformat(),
        "created_at": now.isoformat(),
        "link": "",
    }
    facts: Facts = {
        "event": event,
        "recipient": {"id": "kermit", "name": "Kermit the Frog"},
        "time_zone": time_zone,
        "language": language,
    }
    if event == MESSAGE:
        return {**facts, "message": {"subject": "Hello", "text": "A text of its own.", "html": ""}}
    if event in (PROCESS_COMPLETED, PROCESS_FAILED):
        return {**facts, "process": process, "reason": "an example" if event == PROCESS_FAILED else ""}
    if event == INCIDENT:
        incident = {"id": "0199-incident", "reason": "no-way-out", "message": "no condition holds", "element_id": "g1"}
        return {**facts, "process": process, "incident": incident}
    if event == EVENTS[-1]:
        entry = {"event": EVENTS[0], "task": task, "process": process, "subject": "A new task: Approve the leave"}
        return {**facts, "entries": [entry]}
    return {**facts, "task": task, "process": process}
