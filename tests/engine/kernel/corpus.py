"""Runs conformance cases (steps and expectations in YAML over BPMN models) against the pure kernel, in memory."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.durations import parse_duration, parse_moment
from engine.kernel.errors import Refused, not_found
from engine.kernel.state import ASYNC, EXTERNAL, MESSAGE, SIGNAL, TIMER, Instance, Job, Task
from engine.kernel.values import variables_of
from tests.engine.kernel.harness import MemoryEngine


class Unmet(AssertionError):
    """An expectation that does not hold."""


def load_cases(corpus: Path) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted((corpus / "scenarios").glob("*/*.yaml"))
    return [(path, yaml.safe_load(path.read_text())) for path in paths]


class Case:
    """One case: a fresh engine, the instances by their names in the case."""

    def __init__(self, corpus: Path, case: dict[str, Any], engine: MemoryEngine) -> None:
        self.corpus = corpus
        self.case = case
        self.engine = engine
        self.names: dict[str, tuple[str, str]] = {}
        self._known: set[str] = set()

    def run(self) -> None:
        """Raises Unmet naming the step, or whatever the engine raised."""
        if self.case.get("models"):
            self._deploy(self.case["models"])
        for deployment in self.case.get("deployments", []):
            self._deploy(deployment["models"], deployment.get("tenant", ""))
        for number, step in enumerate(self.case["steps"], 1):
            ((verb, given),) = step.items()
            try:
                self._step(verb, given)
            except Exception as error:
                error.add_note(f"step {number}: {verb}: {given}")
                raise
            self.engine.check_replay()

    def _step(self, verb: str, given: Any) -> None:
        method = getattr(self, f"do_{verb}")
        fails = given.get("fails") if isinstance(given, dict) and verb != "deploy" else None
        if fails is None:
            method(given)
            return
        try:
            method(given)
        except Refused as refused:
            if refused.status != fails:
                raise Unmet(f"expected {fails}, found {refused.status}: {refused.message}") from refused
            return
        raise Unmet(f"expected {fails}, found success")

    # --- finding ------------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> tuple[str, Instance]:
        if name not in self.names and name == "p":
            self._adopt(name)
        root_id, instance_id = self.names[name]
        return root_id, self.engine.trees[root_id].instances[instance_id]

    def _adopt(self, name: str) -> None:
        """An instance that no step named (a signal or a timer started it) is `p`, the newest one."""
        newest = list(self.engine.trees)[-1]
        self.names[name] = (newest, newest)

    def _family(self, instance: Instance, root_id: str) -> list[Instance]:
        found = [instance]
        for other in self.engine.trees[root_id].instances.values():
            if any(other.super_instance_id == known.id for known in found):
                found.append(other)
        return found

    def _task(self, given: dict[str, Any], name: str = "") -> tuple[str, Task]:
        root_id, instance = self._place(given.get("in", "p"))
        ids = {i.id for i in self._family(instance, root_id)}
        wanted = name or given.get("task")
        tasks = [
            t
            for t in self.engine.trees[root_id].tasks.values()
            if t.instance_id in ids and (t.name == wanted if wanted else t.element_id == given["key"])
        ]
        nth = given.get("nth", 0)
        if nth >= len(tasks):
            raise not_found("task-not-found", f"expected an open task {given}, found {len(tasks)}")
        return root_id, tasks[nth]

    # --- steps --------------------------------------------------------------------------------------------------------

    def _deploy(self, models: list[str], tenant: str = "") -> None:
        self.engine.deploy(*[(self.corpus / "models" / m).read_bytes() for m in models], tenant_id=tenant)

    def do_deploy(self, given: dict[str, Any]) -> None:
        fails = given.get("fails")
        try:
            self._deploy(given["models"], given.get("tenant", ""))
        except (InvalidModel, Refused) as error:
            if fails is None or fails.lower() not in str(error).lower():
                raise
            return
        if fails is not None:
            raise Unmet(f"expected the deployment to be refused with '{fails}', found it deployed")

    def do_start(self, given: dict[str, Any]) -> None:
        definitions, tenant = self.engine.definitions, given.get("tenant", "")
        definition = (
            definitions.version(given["key"], tenant, given["version"])
            if "version" in given
            else definitions.latest(given["key"], tenant)
        )
        tree = self.engine.start_definition(
            definition,
            given.get("variables"),
            business_key=str(given.get("business_key", "")),
            user_id=given.get("starter", ""),
        )
        self.names[given.get("as", "p")] = (tree.root_id, tree.root_id)

    def do_start_by_message(self, given: dict[str, Any]) -> None:
        tree = self.engine.start_by_message(given["name"], given.get("variables"))
        self.names[given.get("as", "p")] = (tree.root_id, tree.root_id)

    def do_complete(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        variables = variables_of(given.get("variables", {}))
        local = given.get("local", False)
        self.engine.run(
            root_id,
            cmd.CompleteTask(
                task_id=task.id,
                variables={} if local else variables,
                local_variables=variables if local else {},
                outcome=given.get("outcome", ""),
            ),
        )

    def do_claim(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        self.engine.run(root_id, cmd.ClaimTask(task_id=task.id, assignee=given["user"]))

    def do_unclaim(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        self.engine.run(root_id, cmd.ClaimTask(task_id=task.id, assignee=""))

    def do_delegate(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        self.engine.run(root_id, cmd.DelegateTask(task_id=task.id, assignee=given["user"]))

    def do_resolve(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        self.engine.run(root_id, cmd.ResolveTask(task_id=task.id))

    def do_assign(self, given: dict[str, Any]) -> None:
        root_id, task = self._task(given)
        self.engine.run(root_id, cmd.UpdateTask(task_id=task.id, changes={"assignee": given["user"]}))

    def do_trigger(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        for member in self._family(instance, root_id):
            for execution in member.executions.values():
                if execution.element == given["activity"] and execution.waits and not execution.body:
                    variables = variables_of(given.get("variables", {}))
                    self.engine.run(root_id, cmd.TriggerExecution(execution_id=execution.id, variables=variables))
                    return
        raise not_found("execution-not-found", f"expected an execution that waits at {given['activity']}")

    def do_message(self, given: dict[str, Any]) -> None:
        key = given.get("correlate", {}).get("business_key")
        name, variables = given["name"], variables_of(given.get("variables", {}))
        for rows in list(self.engine.rows.values()):
            for row in rows.subscriptions.values():
                instance = self.engine.trees[rows.root_id].instances[row.instance_id]
                if (row.kind, row.name) == (MESSAGE, name) and self._meant(given, key, rows.root_id, instance):
                    command = cmd.DeliverMessage(
                        execution_id=row.execution_id, subscription_id=row.id, name=name, variables=variables
                    )
                    self.engine.run(rows.root_id, command)
                    return
        raise not_found("subscription-not-found", f"expected somebody to wait for message '{name}', found nobody")

    def _meant(self, given: dict[str, Any], key: str | None, root_id: str, instance: Instance) -> bool:
        if key is not None:
            return instance.business_key == key
        _, wanted = self._place(given.get("in", "p"))
        return instance in self._family(wanted, root_id)

    def do_signal(self, given: dict[str, Any]) -> None:
        if "in" in given:
            root_id, instance = self._place(given["in"])
            variables = variables_of(given.get("variables", {}))
            self.engine.run(
                root_id, cmd.DeliverSignal(execution_id=instance.id, name=given["name"], variables=variables)
            )
        else:
            self.engine.broadcast(given["name"], given.get("variables"))

    def do_worker(self, given: dict[str, Any]) -> None:
        root_id, job = self.engine.worker(given["topic"])
        command: cmd.Command
        if "complete" in given:
            command = cmd.CompleteJob(
                job_id=job.id, worker_id="worker", variables=variables_of(given["complete"] or {})
            )
        elif "fail" in given:
            command = cmd.FailJob(job_id=job.id, worker_id="worker", error=given["fail"], retries=given.get("retries"))
        else:
            command = cmd.ThrowJobError(
                job_id=job.id,
                worker_id="worker",
                error_code=given["bpmn_error"],
                variables=variables_of(given.get("variables", {})),
            )
        self.engine.run(root_id, command)

    def do_jobs(self, given: Any) -> None:
        self.engine.run_jobs(given["run"] if isinstance(given, dict) else 1000)

    def do_clock(self, given: dict[str, Any]) -> None:
        self.engine.now = parse_duration(given["advance"]).after(self.engine.now)
        if given.get("fire", True):
            self.engine.fire_timers()

    def do_set(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        target = instance.id
        if "activity" in given:
            target = next(e.id for e in instance.executions.values() if e.element == given["activity"] and not e.body)
        variables = variables_of(given["variables"])
        self.engine.run(root_id, cmd.SetVariables(execution_id=target, variables=variables, local="activity" in given))

    def do_unset(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        self.engine.run(root_id, cmd.RemoveVariables(execution_id=instance.id, names=given["variables"]))

    def do_suspend(self, given: dict[str, Any]) -> None:
        if "key" in given:
            self.engine.suspended_definitions |= {d.id for d in self.engine.definitions.all if d.key == given["key"]}
            return
        root_id, instance = self._place(given.get("in", "p"))
        self.engine.run(root_id, cmd.SuspendInstance(instance_id=instance.id))

    def do_activate(self, given: dict[str, Any]) -> None:
        if "key" in given:
            self.engine.suspended_definitions -= {d.id for d in self.engine.definitions.all if d.key == given["key"]}
            return
        root_id, instance = self._place(given.get("in", "p"))
        self.engine.run(root_id, cmd.ActivateInstance(instance_id=instance.id))

    def do_delete(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        self.engine.run(root_id, cmd.DeleteInstance(instance_id=instance.id, reason=given.get("reason", "")))

    def do_move(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        self.engine.run(root_id, cmd.ChangeState(instance_id=instance.id, cancel=given["from"], start=given["to"]))

    def do_migrate(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        target = self.engine.definitions.version(instance.definition_key, instance.tenant_id, given["to_version"])
        self.engine.run(
            root_id,
            cmd.MigrateInstance(instance_id=instance.id, definition_id=target.id, mappings=given.get("mappings", {})),
        )

    def do_retry(self, given: dict[str, Any]) -> None:
        root_id, instance = self._place(given.get("in", "p"))
        for job in self._jobs([instance]):
            if job.dead:
                self.engine.run(root_id, cmd.ChangeJob(job_id=job.id, move="executable"))

    # --- expectations -------------------------------------------------------------------------------------------------

    def do_expect(self, given: dict[str, Any]) -> None:
        self._expect_counts(given)
        rest = {k: v for k, v in given.items() if k not in ("in", "deep", "instances", "definitions")}
        if not rest:
            return
        root_id, instance = self._place(given.get("in", "p"))
        members = self._family(instance, root_id) if given.get("deep") else [instance]
        for what, wanted in rest.items():
            getattr(self, f"_see_{what}")(wanted, root_id, instance, members)

    def _expect_counts(self, given: dict[str, Any]) -> None:
        if "definitions" in given:
            wanted = given["definitions"]
            _same("versions", wanted["versions"], sum(d.key == wanted["key"] for d in self.engine.definitions.all))
        if "instances" in given:
            wanted = given["instances"]
            of_key = [
                i for t in self.engine.trees.values() for i in t.instances.values() if i.definition_key == wanted["key"]
            ]
            if "active" in wanted:
                _same("active instances", wanted["active"], sum(not i.is_ended for i in of_key))
            if "completed" in wanted:
                _same("completed instances", wanted["completed"], sum(i.state == "completed" for i in of_key))

    def _see_state(self, wanted: str, root_id: str, instance: Instance, members: list[Instance]) -> None:
        del root_id, members
        _same("state", wanted, instance.state)

    def _see_end(self, wanted: str, root_id: str, instance: Instance, members: list[Instance]) -> None:
        del root_id, members
        _same("end", wanted, instance.end_element_id)

    def _see_tasks(self, wanted: list[str], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del instance
        ids = {m.id for m in members}
        _same(
            "tasks",
            sorted(wanted),
            sorted(t.name for t in self.engine.trees[root_id].tasks.values() if t.instance_id in ids),
        )

    def _see_task(self, wanted: dict[str, Any], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del instance
        ids = {m.id for m in members}
        tasks = self.engine.trees[root_id].tasks.values()
        task = next((t for t in tasks if t.name == wanted["name"] and t.instance_id in ids), None)
        if task is None:
            raise Unmet(f"expected a task named {wanted['name']!r}, found {[t.name for t in tasks]}")
        links = self.engine.trees[root_id].links.get(task.id, [])
        found: dict[str, Any] = {
            "name": task.name, "assignee": task.assignee or None, "owner": task.owner or None,
            "priority": task.priority, "category": task.category or None, "form_key": task.form_key or None,
            "description": task.description or None,
            "delegation": task.delegation or None, "due": task.due_at,
            "candidate_users": sorted(user for _, kind, user, _ in links if kind == "candidate" and user),
            "candidate_groups": sorted(group for _, kind, _, group in links if kind == "candidate" and group),
        }  # fmt: skip
        for name, value in wanted.items():
            value = sorted(value) if isinstance(value, list) else value
            if name == "due":
                value = value if isinstance(value, datetime) else parse_moment(str(value))
            _same(f"task's {name}", value, found[name])

    def _see_at(self, wanted: list[str], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del root_id, instance
        found = [e.element for m in members for e in m.executions.values() if _is_token(m, e)]
        _same("at", sorted(wanted), sorted(found))

    def _values(self, root_id: str, instance: Instance) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in self.engine.history[root_id]:
            if isinstance(event, ev.VariableSet) and event.scope_id == instance.id:
                found[event.name] = event.value
            elif isinstance(event, ev.VariableRemoved) and event.scope_id == instance.id:
                found.pop(event.name, None)
        return found

    def _see_variables(self, wanted: dict[str, Any], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del instance
        for name, value in wanted.items():
            found = [values[name] for m in members if name in (values := self._values(root_id, m))]
            if not any(_equal(value, candidate) for candidate in found):
                raise Unmet(f"expected variable {name} to be {value!r}, found {found!r}")

    def _see_absent(self, wanted: list[str], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del members
        _same("absent", [], [name for name in wanted if name in self._values(root_id, instance)])

    def _jobs(self, members: list[Instance]) -> list[Job]:
        ids = {m.id for m in members}
        return [j for r in self.engine.rows.values() for j in r.jobs.values() if j.instance_id in ids]

    def _see_jobs(self, wanted: dict[str, int], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del instance
        jobs = self._jobs(members)
        open_jobs = [j for j in jobs if not j.dead and not self.engine.is_suspended(root_id, j.instance_id)]
        found = {
            "timer": sum(j.kind == TIMER for j in open_jobs),
            "async": sum(j.kind == ASYNC for j in open_jobs),
            "external": sum(j.kind == EXTERNAL for j in open_jobs),
            "dead": sum(j.dead for j in jobs),
            "suspended": sum(self.engine.is_suspended(root_id, j.instance_id) for j in jobs if not j.dead),
        }
        for kind, number in wanted.items():
            _same(f"{kind} jobs", number, found[kind])

    def _see_subscriptions(
        self, wanted: dict[str, list[str]], root_id: str, instance: Instance, members: list[Instance]
    ) -> None:
        del instance
        ids = {m.id for m in members}
        for kind, names in wanted.items():
            assert kind in (MESSAGE, SIGNAL)
            rows = self.engine.rows[root_id].subscriptions.values()
            _same(
                f"{kind} subscriptions",
                sorted(names),
                sorted(s.name for s in rows if s.kind == kind and s.instance_id in ids),
            )

    def _see_called(self, wanted: int, root_id: str, instance: Instance, members: list[Instance]) -> None:
        instances = self.engine.trees[root_id].instances.values()
        ids = {m.id for m in members} if len(members) > 1 else {instance.id}
        _same("called", wanted, sum(i.super_instance_id in ids and not i.is_ended for i in instances))

    def _see_history(self, wanted: dict[str, Any], root_id: str, instance: Instance, members: list[Instance]) -> None:
        del instance
        ids = {m.id for m in members}
        starts: list[tuple[str, str]] = []
        ended: Counter[str] = Counter()
        canceled: Counter[str] = Counter()
        bodies: set[str] = set()
        known: set[str] = set()
        for event in self.engine.history[root_id]:
            if event.instance_id not in ids:
                continue
            if isinstance(event, ev.ElementStarted):
                if event.body:
                    bodies.add(event.execution_id)
                else:
                    known.add(event.execution_id)
                    starts.append((event.execution_id, event.element_id))
            elif (
                isinstance(event, ev.ElementEnded) and event.execution_id not in bodies and event.execution_id in known
            ):
                (canceled if event.canceled else ended)[event.element_id] += 1
        order = [element for _, element in starts]
        counts = Counter(order)
        _same("history ended", [], [e for e in wanted.get("ended", []) if not ended[e]])
        _same("history canceled", [], [e for e in wanted.get("canceled", []) if not canceled[e]])
        _same("history not_started", [], [e for e in wanted.get("not_started", []) if counts[e]])
        for element, number in wanted.get("counts", {}).items():
            _same(f"history counts of {element}", number, counts[element])
        rest = iter(order)
        if not all(element in rest for element in wanted.get("order", [])):
            raise Unmet(f"expected order {wanted['order']}, found {order}")


def _is_token(instance: Instance, execution: Any) -> bool:
    if execution.scope and not execution.queued and not execution.leaving:
        return False
    return not execution.body


def _same(what: str, wanted: Any, found: Any) -> None:
    if wanted != found:
        raise Unmet(f"expected {what} {wanted!r}, found {found!r}")


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(found, datetime):
        return wanted == found or (isinstance(wanted, str) and parse_moment(wanted) == found)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return bool(wanted == found)
