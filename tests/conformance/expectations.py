"""What a case may expect, and how each expectation is looked up: in the engine what runs, in the history what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from tests.conformance.case_run import CaseRun, Failed, Mismatch, until_holds
from tests.conformance.driver import Activity, Job, Task
from tests.conformance.values import from_variables, moment, same, shown, value_of

Args = Mapping[str, Any]
Check = Callable[[CaseRun, Args], Awaitable[Mismatch | None]]

ENDED_STATES: Final = frozenset({"completed", "terminated", "failed"})
TIMER_HANDLERS: Final = frozenset({"trigger-timer", "timer-start-event"})
JOB_KINDS: Final = {
    "timer": ("timer-jobs", "jobs"),
    "async": ("jobs", "timer-jobs"),
    "external": ("external-worker-jobs",),
    "dead": ("deadletter-jobs",),
    "suspended": ("suspended-jobs",),
}
END_UNKNOWN: Final = Mismatch("the history to know the end of the instance", "it not there", final=False)
SETTLE_SECONDS: Final = 0.3
"""How long the history of a running instance may lack an element where a token waits before we take it as it is."""


async def expect(run: CaseRun, args: Args) -> None:
    """Check every key of an `expect` step. Raises Failed for the first that does not hold."""
    for key, check in _CHECKS.items():
        if key not in args:
            continue
        mismatch = await until_holds(partial(check, run, args), run.patience_seconds)
        if mismatch is not None:
            raise Failed(mismatch.expected, mismatch.found)


def complaint(args: Args) -> str:
    """Return what the runner does not know in an `expect` step; empty if nothing."""
    for key, known in _INNER_KEYS.items():
        if key not in args:
            continue
        if not isinstance(args[key], Mapping):
            return f"expected {key} with {', '.join(sorted(known))}, found {args[key]!r}"
        unknown = sorted(set(map(str, args[key])) - known)
        if unknown:
            return f"expected {key} with {', '.join(sorted(known))}, found the unknown key '{unknown[0]}'"
    return ""


# --- the instance -----------------------------------------------------------------------------------------------------


async def _state(run: CaseRun, args: Args) -> Mismatch | None:
    instance_id = run.instance(args)
    running = await run.driver.instance(instance_id)
    if running is not None:
        return _unless(running.state == args["state"], f"state {args['state']}", f"{running.state} in the engine")
    past = await run.driver.historic_instance(instance_id)
    state = past.state if past is not None else ""
    # What the history says of an instance that is over counts only once it knows of the end.
    known = state in ENDED_STATES
    found = f"{state} in the history, not running" if state else "no running instance, and none in the history"
    return _unless(known and state == args["state"], f"state {args['state']}", found, final=known)


async def _end(run: CaseRun, args: Args) -> Mismatch | None:
    past = await run.driver.historic_instance(run.instance(args))
    found = past.end_activity_id if past is not None else ""
    final = past is not None and past.state in ENDED_STATES
    return _unless(found == args["end"], f"the instance to end at {args['end']}", found or "no end event", final=final)


async def _called(run: CaseRun, args: Args) -> Mismatch | None:
    found = len(await run.driver.called_instances(run.instance(args), _deep(args)))
    return _unless(found == args["called"], f"{args['called']} called instances", str(found))


# --- tokens and what they wait for ------------------------------------------------------------------------------------


async def _tasks(run: CaseRun, args: Args) -> Mismatch | None:
    found = [task.name or "" for task in await run.open_tasks(args, _deep(args))]
    return _unless_equal("tasks", args["tasks"], found)


async def _at(run: CaseRun, args: Args) -> Mismatch | None:
    waiting = await run.driver.waiting(run.instance(args), _deep(args))
    return _unless_equal("tokens at", args["at"], [each.activity_id for each in waiting])


async def _jobs(run: CaseRun, args: Args) -> Mismatch | None:
    instance_id = run.instance(args)
    scopes = [instance_id, *(await run.driver.called_instances(instance_id, deep=True) if _deep(args) else ())]
    for word, count in args["jobs"].items():
        jobs = [job for each in scopes for kind in JOB_KINDS[word] for job in await run.driver.jobs(each, kind)]
        fitting = [job for job in jobs if _is_of(job, word)]
        if len(fitting) != count:
            found = f"{len(fitting)} ({', '.join(f'{job.handler} in {job.kind}' for job in jobs)})"
            return Mismatch(f"{count} {word} jobs", found if jobs else "0")
    return None


def _is_of(job: Job, word: str) -> bool:
    if word == "timer":
        return job.handler in TIMER_HANDLERS
    return word != "async" or job.handler not in TIMER_HANDLERS


async def _subscriptions(run: CaseRun, args: Args) -> Mismatch | None:
    instance_id = run.instance(args)
    scopes = [instance_id, *(await run.driver.called_instances(instance_id, deep=True) if _deep(args) else ())]
    found = [each for scope in scopes for each in await run.driver.subscriptions(scope)]
    for kind, names in args["subscriptions"].items():
        mismatch = _unless_equal(f"{kind} subscriptions", names, [each.name for each in found if each.kind == kind])
        if mismatch is not None:
            return mismatch
    return None


# --- one task ---------------------------------------------------------------------------------------------------------


async def _task(run: CaseRun, args: Args) -> Mismatch | None:
    wanted = args["task"]
    tasks = [task for task in await run.open_tasks(args, deep=True) if task.name == wanted["name"]]
    if not tasks:
        return Mismatch(f"an open task '{wanted['name']}'", "none")
    differences = []
    for task in tasks:
        found = await _fields(run, task, wanted)
        wrong = {key: found[key] for key in found if not _fits(key, wanted[key], found[key])}
        if not wrong:
            return None
        differences.append(wrong)
    expected = {key: wanted[key] for key in differences[0]}
    return Mismatch(f"task '{wanted['name']}' with {shown(expected)}", shown(differences[0]))


async def _fields(run: CaseRun, task: Task, wanted: Args) -> dict[str, Any]:
    found: dict[str, Any] = {key: getattr(task, key) for key in wanted if not key.startswith("candidate_")}
    if len(found) < len(wanted):
        users, groups = await run.driver.candidates(task.id)
        found |= {"candidate_users": users} if "candidate_users" in wanted else {}
        found |= {"candidate_groups": groups} if "candidate_groups" in wanted else {}
    return found


def _fits(key: str, wanted: Any, found: Any) -> bool:
    if key.startswith("candidate_"):
        return sorted(wanted) == sorted(found)
    if key == "due" and wanted is not None and found is not None:
        return moment(str(wanted)) == moment(str(found))
    return same(wanted, found)


# --- variables --------------------------------------------------------------------------------------------------------


async def _variables(run: CaseRun, args: Args) -> Mismatch | None:
    scopes = await _variable_scopes(run, args)
    if scopes is None:
        return END_UNKNOWN
    for name, value in args["variables"].items():
        found = [scope[name] for scope in scopes if name in scope]
        if not any(same(value, each) for each in found):
            return Mismatch(f"variable {name} = {shown(value)}", shown(found[0]) if found else "none")
    return None


async def _absent(run: CaseRun, args: Args) -> Mismatch | None:
    scopes = await _variable_scopes(run, args)
    if scopes is None:
        return END_UNKNOWN
    for name in args["absent"]:
        found = [scope[name] for scope in scopes if name in scope]
        if found:
            return Mismatch(f"no variable {name}", shown(found[0]))
    return None


async def _variable_scopes(run: CaseRun, args: Args) -> list[dict[str, Any]] | None:
    """Return the variables of the instance and of those that it called; None while the history lacks the end."""
    instance_id = run.instance(args)
    if await run.driver.instance(instance_id) is None:
        if not await _end_is_known(run, instance_id):
            return None
        past = await run.driver.historic_variables(instance_id, _deep(args))
        # Several instances may have a variable of that name, and any of them may be meant: a scope for each.
        each_alone = [{str(each.get("name", "")): value_of(each)} for each in past]
        return each_alone if _deep(args) else [from_variables(past)]
    called = await run.driver.called_instances(instance_id, deep=True) if _deep(args) else []
    return [await run.driver.variables(each) for each in (instance_id, *called)]


# --- the history ------------------------------------------------------------------------------------------------------


async def _history(run: CaseRun, args: Args) -> Mismatch | None:
    instance_id = run.instance(args)
    running = await run.driver.instance(instance_id)
    if running is None:
        if not await _end_is_known(run, instance_id):
            return END_UNKNOWN
        activities = await run.driver.activities(instance_id)
    else:
        activities = await _settled_activities(run, instance_id)
    for key, wanted in args["history"].items():
        mismatch = _HISTORY_CHECKS[key](wanted, activities)
        if mismatch is not None:
            return Mismatch(mismatch.expected, mismatch.found, final=running is None)
    return None


async def _end_is_known(run: CaseRun, instance_id: str) -> bool:
    """Tell whether the history knows that the instance is over: before, it may lack anything."""
    past = await run.driver.historic_instance(instance_id)
    return past is not None and past.state in ENDED_STATES


async def _settled_activities(run: CaseRun, instance_id: str) -> list[Activity]:
    """Return the history once it shows all elements where tokens wait, so that what is missing is not just late.

    An asynchronous element is not in the history before its job runs, so we go on with what there is after a while.
    """
    waiting = Counter(each.activity_id for each in await run.driver.waiting(instance_id, deep=False))
    activities: list[Activity] = []

    async def shown_in_history() -> Mismatch | None:
        nonlocal activities
        activities = await run.driver.activities(instance_id)
        open_ones = Counter(each.activity_id for each in activities if not each.ended)
        return _unless(waiting <= open_ones, "tokens in the history", "not yet", final=False)

    await until_holds(shown_in_history, min(SETTLE_SECONDS, run.patience_seconds))
    return activities


def _ended(wanted: Sequence[str], activities: Sequence[Activity]) -> Mismatch | None:
    done = {each.activity_id for each in activities if each.ended and not each.canceled}
    missing = [each for each in wanted if each not in done]
    return _unless(not missing, f"{missing} ended in the history", f"ended {sorted(done)}")


def _canceled(wanted: Sequence[str], activities: Sequence[Activity]) -> Mismatch | None:
    gone = {each.activity_id for each in activities if each.canceled}
    missing = [each for each in wanted if each not in gone]
    return _unless(not missing, f"{missing} canceled in the history", f"canceled {sorted(gone)}")


def _not_started(wanted: Sequence[str], activities: Sequence[Activity]) -> Mismatch | None:
    started = {each.activity_id for each in activities}
    found = [each for each in wanted if each in started]
    return _unless(not found, f"{list(wanted)} never started", f"{found} in the history")


def _order(wanted: Sequence[str], activities: Sequence[Activity]) -> Mismatch | None:
    started = [each.activity_id for each in activities]
    rest = iter(started)
    return _unless(all(each in rest for each in wanted), f"starts in the order {list(wanted)}", str(started))


def _counts(wanted: Mapping[str, int], activities: Sequence[Activity]) -> Mismatch | None:
    started = Counter(each.activity_id for each in activities)
    found = {key: started[key] for key in wanted}
    return _unless(found == dict(wanted), f"starts {shown(dict(wanted))}", shown(found))


_HISTORY_CHECKS: Final[Mapping[str, Callable[[Any, Sequence[Activity]], Mismatch | None]]] = {
    "ended": _ended,
    "not_started": _not_started,
    "order": _order,
    "counts": _counts,
    "canceled": _canceled,
}


# --- counts over a key ------------------------------------------------------------------------------------------------


async def _instances(run: CaseRun, args: Args) -> Mismatch | None:
    wanted = args["instances"]
    key = wanted["key"]
    running = await run.driver.count_running(key)
    if running != wanted.get("active", running):
        return Mismatch(f"{wanted['active']} active instances of {key}", str(running))
    if "completed" not in wanted:
        return None
    # Earlier cases took their definitions along, so what belongs to these definitions belongs to this case.
    definitions = await run.driver.definitions(key)
    unfinished = await _count_historic(run, definitions, "active") + await _count_historic(
        run, definitions, "suspended"
    )
    if unfinished != running:
        expected = f"the history to know that {running} instances of {key} are running"
        return Mismatch(expected, f"{unfinished} not ended there", final=False)
    completed = await _count_historic(run, definitions, "completed")
    return _unless(
        completed == wanted["completed"], f"{wanted['completed']} completed instances of {key}", str(completed)
    )


async def _count_historic(run: CaseRun, definitions: Sequence[str], state: str) -> int:
    return sum([await run.driver.count_historic(each, state) for each in definitions])


async def _definitions(run: CaseRun, args: Args) -> Mismatch | None:
    wanted = args["definitions"]
    found = len(await run.driver.definitions(wanted["key"]))
    return _unless(found == wanted["versions"], f"{wanted['versions']} versions of {wanted['key']}", str(found))


def _deep(args: Args) -> bool:
    return bool(args.get("deep", False))


def _unless(holds: bool, expected: str, found: str, *, final: bool = True) -> Mismatch | None:
    return None if holds else Mismatch(expected, found, final)


def _unless_equal(what: str, wanted: Sequence[str], found: Sequence[str]) -> Mismatch | None:
    return _unless(Counter(wanted) == Counter(found), f"{what} {sorted(wanted)}", str(sorted(found)))


_CHECKS: Final[Mapping[str, Check]] = {
    "state": _state,
    "tasks": _tasks,
    "at": _at,
    "task": _task,
    "called": _called,
    "jobs": _jobs,
    "subscriptions": _subscriptions,
    "variables": _variables,
    "absent": _absent,
    "definitions": _definitions,
    "instances": _instances,
    "end": _end,
    "history": _history,
}

_INNER_KEYS: Final = {
    "jobs": frozenset(JOB_KINDS),
    "subscriptions": frozenset({"message", "signal"}),
    "history": frozenset(_HISTORY_CHECKS),
    "instances": frozenset({"key", "active", "completed"}),
    "definitions": frozenset({"key", "versions"}),
    "task": frozenset(
        {
            "name",
            "assignee",
            "owner",
            "candidate_users",
            "candidate_groups",
            "due",
            "priority",
            "category",
            "form_key",
            "description",
            "delegation",
        }
    ),
}

KEYS: Final = frozenset({"in", "deep", *_CHECKS})
