"""The words of a case's steps, and what each of them does. `expect` is in `expectations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance import expectations
from tests.conformance.case_run import DEFAULT_INSTANCE, NEVER_AN_ID, CaseRun, Failed, attempt
from tests.conformance.driver import Refused, Start, Task
from tests.conformance.loading import Case, Step

Args = Mapping[str, Any]

OUR_FAULT: Final = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "DATA_LOSS"})
"""Codes that are no refusal of a model but a failure of the mesh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word: the keys that may stand behind it, and what it does. `scalar`: it may also stand before one value."""

    keys: frozenset[str]
    do: Callable[[CaseRun, Args], Awaitable[None]]
    scalar: str = ""


def problem_of(case: Case) -> str:
    """Return what the runner does not understand in the case, with the step's number; empty if nothing."""
    if case.problem:
        return case.problem
    for step in case.steps:
        complaint = _complaint(step)
        if complaint:
            return f"step {step.number}: {complaint}"
    return ""


async def do_step(run: CaseRun, step: Step) -> None:
    """Do one step. Raises Failed if it does not come out as the case says."""
    word = WORDS[step.word]
    await word.do(run, _args(word, step))


def _complaint(step: Step) -> str:
    word = WORDS.get(step.word)
    if word is None:
        return f"expected one of {', '.join(sorted(WORDS))}, found the unknown step '{step.word}'"
    args = _args(word, step)
    unknown = sorted(set(map(str, args)) - word.keys)
    if unknown:
        return f"expected {step.word} with {', '.join(sorted(word.keys))}, found the unknown key '{unknown[0]}'"
    return expectations.complaint(args) if step.word == "expect" else ""


def _args(word: Word, step: Step) -> Args:
    if isinstance(step.args, Mapping):
        return step.args
    return {word.scalar or f"({step.args!r})": step.args}


# --- deployments and starts -------------------------------------------------------------------------------------------


async def deploy_models(run: CaseRun, models: list[str], tenant: str = "") -> None:
    """Deploy files of the corpus as one deployment."""
    await run.driver.deploy({name: run.corpus.model(name) for name in models}, tenant)


async def _deploy(run: CaseRun, args: Args) -> None:
    models = list(args["models"])
    text = args.get("fails")
    if text is None:
        await attempt(
            f"the deployment of {', '.join(models)}", None, deploy_models(run, models, args.get("tenant", ""))
        )
        return
    expected = f"the deployment of {', '.join(models)} to be refused with a message that contains '{text}'"
    try:
        await deploy_models(run, models, args.get("tenant", ""))
    except Refused as refused:
        if refused.code in OUR_FAULT or str(text).casefold() not in refused.message.casefold():
            raise Failed(expected, str(refused)) from refused
        return
    raise Failed(expected, "it deployed")


async def _start(run: CaseRun, args: Args) -> None:
    start = Start(
        key=args["key"],
        version=args.get("version"),
        business_key=args.get("business_key"),
        tenant=args.get("tenant", ""),
        starter=args.get("starter"),
        variables=args.get("variables", {}),
    )
    await attempt(f"a start of {start.key}", args.get("fails"), _started(run, args, start))


async def _start_by_message(run: CaseRun, args: Args) -> None:
    start = Start(
        message=args["name"],
        business_key=args.get("business_key"),
        tenant=args.get("tenant", ""),
        starter=args.get("starter"),
        variables=args.get("variables", {}),
    )
    await attempt(f"a start by message {start.message}", args.get("fails"), _started(run, args, start))


async def _started(run: CaseRun, args: Args, start: Start) -> None:
    name = args.get("as", DEFAULT_INSTANCE)
    run.instances[name] = await run.driver.start(start)
    if start.key is not None:
        run.keys[name] = start.key


# --- tasks ------------------------------------------------------------------------------------------------------------


async def _complete(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    act = run.driver.complete(task_id, args.get("variables", {}), bool(args.get("local", False)), args.get("outcome"))
    await attempt(f"task {_wanted(args)} to be completed and this", args.get("fails"), act)


async def _claim(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    await attempt(f"a claim of task {_wanted(args)}", args.get("fails"), run.driver.claim(task_id, args["user"]))


async def _unclaim(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    await attempt(f"an unclaim of task {_wanted(args)}", args.get("fails"), run.driver.unclaim(task_id))


async def _delegate(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    act = run.driver.delegate(task_id, args["user"])
    await attempt(f"a delegation of task {_wanted(args)}", args.get("fails"), act)


async def _resolve(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    await attempt(f"a resolution of task {_wanted(args)}", args.get("fails"), run.driver.resolve(task_id))


async def _assign(run: CaseRun, args: Args) -> None:
    task_id = await _task(run, args)
    await attempt(f"an assignment of task {_wanted(args)}", args.get("fails"), run.driver.assign(task_id, args["user"]))


async def _task(run: CaseRun, args: Args) -> str:
    """Return the id of the open task that a step means; where the step must fail, also that of one that is gone."""
    open_tasks = await run.open_tasks(args, deep=True)
    fitting = [task for task in open_tasks if _fits(task, args)]
    nth = int(args.get("nth", 0))
    if nth < len(fitting):
        return fitting[nth].id
    if args.get("fails") is not None:
        gone = [task for task in run.seen_tasks[str(args.get("in", DEFAULT_INSTANCE))] if _fits(task, args)]
        return gone[-1].id if gone else NEVER_AN_ID
    found = [f"{task.name or ''} ({task.key or ''})" for task in open_tasks]
    raise Failed(f"an open task {_wanted(args)}" + (f" at place {nth}" if nth else ""), f"open tasks {found}")


def _fits(task: Task, args: Args) -> bool:
    return ("task" not in args or task.name == args["task"]) and ("key" not in args or task.key == args["key"])


def _wanted(args: Args) -> str:
    return f"'{args['task']}'" if "task" in args else f"of element {args.get('key', '(any)')}"


# --- what is waited for -----------------------------------------------------------------------------------------------


async def _trigger(run: CaseRun, args: Args) -> None:
    execution_id = await _waiting_at(run, args, deep=True)
    act = run.driver.trigger(execution_id, args.get("variables", {}))
    await attempt(f"a trigger of {args['activity']}", args.get("fails"), act)


async def _message(run: CaseRun, args: Args) -> None:
    instance_id = run.instance(args) if "in" in args else None
    business_key = (args.get("correlate") or {}).get("business_key")
    act = run.driver.correlate(args["name"], instance_id, business_key, args.get("variables", {}))
    await attempt(f"message {args['name']} to be delivered and this", args.get("fails"), act)


async def _signal(run: CaseRun, args: Args) -> None:
    instance_id = run.instance(args) if "in" in args else None
    act = run.driver.signal(args["name"], instance_id, args.get("variables", {}))
    await attempt(f"signal {args['name']} to be sent and this", args.get("fails"), act)


async def _worker(run: CaseRun, args: Args) -> None:
    topic = args["topic"]
    job = await run.driver.acquire(topic)
    if job is None:
        raise Failed(f"a job of topic {topic}", "none")
    if "complete" in args:
        act = run.driver.complete_job(job, args["complete"] or {})
    elif "fail" in args:
        act = run.driver.fail_job(job, args["fail"], args.get("retries"))
    else:
        act = run.driver.throw_bpmn_error(job, args["bpmn_error"], args.get("variables", {}))
    await attempt(f"the report of a job of topic {topic}", args.get("fails"), act)


async def _waiting_at(run: CaseRun, args: Args, deep: bool) -> str:
    """Return the oldest execution that waits at the step's activity."""
    waiting = await run.driver.waiting(run.instance(args), deep)
    fitting = sorted(each.execution_id for each in waiting if each.activity_id == args["activity"])
    if fitting:
        return fitting[0]
    if args.get("fails") is not None:
        return NEVER_AN_ID
    raise Failed(f"a token that waits at {args['activity']}", f"tokens at {sorted(e.activity_id for e in waiting)}")


# --- jobs and time ----------------------------------------------------------------------------------------------------


async def _jobs(run: CaseRun, args: Args) -> None:
    most = args["run"] if isinstance(args["run"], int) else None
    await attempt("due jobs to run and this", None, run.driver.run_jobs(most))


async def _clock(run: CaseRun, args: Args) -> None:
    act = run.driver.advance_clock(args["advance"], bool(args.get("fire", True)))
    await attempt(f"the clock to advance by {args['advance']} and this", None, act)


async def _retry(run: CaseRun, args: Args) -> None:
    instance_id = run.instance(args)
    for each in (instance_id, *await run.driver.called_instances(instance_id, deep=True)):
        for job in await run.driver.jobs(each, "deadletter-jobs"):
            await attempt(f"a retry of job {job.id}", None, run.driver.revive(job.id))


# --- instances --------------------------------------------------------------------------------------------------------


async def _set(run: CaseRun, args: Args) -> None:
    if "activity" in args:
        execution_id = await _waiting_at(run, args, deep=True)
        act = run.driver.set_local_variables(execution_id, args["variables"])
    else:
        act = run.driver.set_variables(run.instance(args), args["variables"])
    await attempt("variables to be set and this", args.get("fails"), act)


async def _unset(run: CaseRun, args: Args) -> None:
    instance_id = run.instance(args)
    for name in args["variables"]:
        try:
            await run.driver.remove_variable(instance_id, name)
        except Refused as refused:
            # To remove what is not there is nothing to do, as with Flowable's removeVariables.
            if refused.code != "NOT_FOUND":
                raise Failed(f"variable {name} to be removed", str(refused)) from refused


async def _suspend(run: CaseRun, args: Args) -> None:
    await _change(run, args, "suspend")


async def _activate(run: CaseRun, args: Args) -> None:
    await _change(run, args, "activate")


async def _change(run: CaseRun, args: Args, action: str) -> None:
    if "key" not in args:
        act = run.driver.change_instance(run.instance(args), action)
        await attempt(f"an instance to {action} and this", args.get("fails"), act)
        return
    definitions = await run.driver.definitions(args["key"])
    if not definitions:
        raise Failed(f"definitions of {args['key']}", "none")
    for definition_id in definitions:
        act = run.driver.change_definition(definition_id, action)
        await attempt(f"a definition of {args['key']} to {action} and this", args.get("fails"), act)


async def _delete(run: CaseRun, args: Args) -> None:
    act = run.driver.delete_instance(run.instance(args), args.get("reason"))
    await attempt("a deletion", args.get("fails"), act)


async def _move(run: CaseRun, args: Args) -> None:
    act = run.driver.move(run.instance(args), args.get("from", []), args.get("to", []))
    await attempt(f"a move from {args.get('from')} to {args.get('to')}", args.get("fails"), act)


async def _migrate(run: CaseRun, args: Args) -> None:
    instance_id = run.instance(args)
    name = str(args.get("in", DEFAULT_INSTANCE))
    key = run.keys.get(name)
    if key is None:
        running = await run.driver.instance(instance_id)
        key = running.key if running is not None else ""
    mappings = [_mapping(source, target) for source, target in (args.get("mappings") or {}).items()]
    act = run.driver.migrate(instance_id, key, args["to_version"], mappings)
    await attempt(f"a migration to version {args['to_version']}", args.get("fails"), act)


def _mapping(source: str, target: str | list[str]) -> dict[str, Any]:
    if isinstance(target, str):
        return {"fromActivityId": source, "toActivityId": target}
    return {"fromActivityId": source, "toActivityIds": list(target)}


def _word(do: Callable[[CaseRun, Args], Awaitable[None]], *keys: str, scalar: str = "") -> Word:
    return Word(keys=frozenset(keys), do=do, scalar=scalar)


_TASK: Final = ("task", "key", "in", "nth", "fails")

WORDS: Final[Mapping[str, Word]] = {
    "deploy": _word(_deploy, "models", "tenant", "as", "fails"),
    "start": _word(_start, "key", "as", "business_key", "variables", "tenant", "fails", "version", "starter"),
    "start_by_message": _word(
        _start_by_message, "name", "as", "business_key", "variables", "tenant", "fails", "starter"
    ),
    "complete": _word(_complete, *_TASK, "variables", "outcome", "local"),
    "claim": _word(_claim, *_TASK, "user"),
    "unclaim": _word(_unclaim, *_TASK, "user"),
    "delegate": _word(_delegate, *_TASK, "user"),
    "resolve": _word(_resolve, *_TASK, "user"),
    "assign": _word(_assign, *_TASK, "user"),
    "trigger": _word(_trigger, "activity", "in", "variables", "fails"),
    "message": _word(_message, "name", "in", "variables", "correlate", "fails"),
    "signal": _word(_signal, "name", "in", "variables", "fails"),
    "worker": _word(_worker, "topic", "complete", "fail", "retries", "bpmn_error", "variables", "fails"),
    "jobs": _word(_jobs, "run", scalar="run"),
    "clock": _word(_clock, "advance", "fire"),
    "set": _word(_set, "variables", "in", "activity", "fails"),
    "unset": _word(_unset, "variables", "in"),
    "suspend": _word(_suspend, "in", "key", "fails"),
    "activate": _word(_activate, "in", "key", "fails"),
    "delete": _word(_delete, "in", "reason", "fails"),
    "move": _word(_move, "in", "from", "to", "fails"),
    "migrate": _word(_migrate, "in", "to_version", "mappings", "fails"),
    "retry": _word(_retry, "in"),
    "expect": Word(keys=expectations.KEYS, do=expectations.expect),
}
