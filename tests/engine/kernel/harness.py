"""An engine in memory around the pure kernel: definitions, trees, their rows, a manual clock and counted ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.bpmn import xml
from engine.bpmn.compile import Identity, compile_process, executable_processes
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import registry
from engine.kernel.apply import fold
from engine.kernel.decide import Decision, Reply, decide
from engine.kernel.definition import Definition
from engine.kernel.env import Env, Limits, Scripts
from engine.kernel.errors import Called, MissingTasks, MissingVariables, Refused, failed, invalid, not_found
from engine.kernel.events import Event
from engine.kernel.state import ASYNC, EXTERNAL, HTTP, MESSAGE, SIGNAL, TIMER, Execution, Job, Tree, encode_tokens
from engine.kernel.values import variables_of
from tests.engine.kernel import starts
from tests.engine.kernel.rows import Rows
from tests.engine.kernel.starts import StartWait

REGISTRY = registry.load()
BEGINNING = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class NoScripts:
    def run(self, language: str, source: str, variables: Mapping[str, Any], api: Any) -> tuple[Any, dict[str, Any]]:
        raise AssertionError(f"this test expects no script, found one in {language}")


class MemoryDefinitions:
    """All versions of all definitions, newest last."""

    def __init__(self) -> None:
        self.all: list[Definition] = []

    def by_id(self, definition_id: str) -> Definition:
        for definition in self.all:
            if definition.id == definition_id:
                return definition
        raise not_found(
            "process-definition-not-found", f"expected a process definition, found none with id '{definition_id}'"
        )

    def latest(self, key: str, tenant_id: str) -> Definition:
        for definition in reversed(self.all):
            if definition.key == key and definition.tenant_id == tenant_id:
                return definition
        raise not_found("process-definition-not-found", f"expected a process definition, found none with key '{key}'")

    def called(self, called: Called) -> Definition:
        for definition in self.all:
            if called.deployment_id and (definition.key, definition.deployment_id) == (
                called.key,
                called.deployment_id,
            ):
                return definition
        try:
            return self.latest(called.key, called.tenant_id)
        except Refused:
            if not called.or_shared:
                raise
            return self.latest(called.key, "")

    def version(self, key: str, tenant_id: str, version: int) -> Definition:
        for definition in self.all:
            if (definition.key, definition.tenant_id, definition.version) == (key, tenant_id, version):
                return definition
        raise not_found("process-definition-not-found", f"expected version {version} of '{key}', found none")


@dataclass
class Waiting:
    """A start wait of the newest version of a definition."""

    definition: Definition
    wait: StartWait


class MemoryEngine:
    """Runs commands one by one; a refused command leaves its tree as the accepted events made it.

    `cold` runs each command on a tree loaded from rows, as a store would, and checks it against the fold of all events.
    """

    def __init__(self, scripts: Scripts | None = None, limits: Limits | None = None, *, cold: bool = False) -> None:
        self.definitions = MemoryDefinitions()
        self.scripts: Scripts = scripts or NoScripts()
        self.limits = limits or Limits()
        self.cold = cold
        self.now = BEGINNING
        self.trees: dict[str, Tree] = {}
        self.history: dict[str, list[Event]] = {}
        self.rows: dict[str, Rows] = {}
        self.starts: list[Waiting] = []
        self.suspended_definitions: set[str] = set()
        self._thrown: list[Event] = []
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids:06d}"

    def env(self) -> Env:
        return Env(
            now=self.now, new_id=self.new_id, definitions=self.definitions, scripts=self.scripts, limits=self.limits
        )

    # --- deploying --------------------------------------------------------------------------------------------------

    def deploy(self, *texts: str | bytes, tenant_id: str = "") -> list[Definition]:
        """Deploy documents as one deployment: all or none. Raises InvalidModel or Refused."""
        deployed: list[Definition] = []
        waits: list[Waiting] = []
        deployment_id = self.new_id()
        for text in texts:
            root = xml.parse(text.encode() if isinstance(text, str) else text, "test.bpmn20.xml")
            for process in executable_processes(root, "test.bpmn20.xml"):
                if any(d.key == process.id for d in deployed):
                    raise invalid(
                        "duplicate-key", f"expected each process once in a deployment, found '{process.id}' twice"
                    )
                version = 1 + sum(1 for d in self.definitions.all if d.key == process.id and d.tenant_id == tenant_id)
                identity = Identity(
                    definition_id=f"{process.id}:{version}:{self.new_id()}",
                    version=version,
                    deployment_id=deployment_id,
                    tenant_id=tenant_id,
                )
                definition = compile_process(root, process, REGISTRY, "test.bpmn20.xml", identity)
                deployed.append(definition)
                waits += [Waiting(definition, wait) for wait in starts.start_waits(definition, self.now)]
        kept = [w for w in self.starts if not any(_same(w.definition, d) for d in deployed)]
        for new in waits:
            self._check_message_free(new, kept)
        self.starts = kept + waits
        self.definitions.all += deployed
        return deployed

    def _check_message_free(self, new: Waiting, others: list[Waiting]) -> None:
        for other in others:
            same = (other.wait.kind, other.wait.name, other.definition.tenant_id) == (
                MESSAGE, new.wait.name, new.definition.tenant_id,
            )  # fmt: skip
            if new.wait.kind == MESSAGE and same:
                raise invalid("message-taken", f"message '{new.wait.name}' starts '{other.definition.key}' already")

    # --- commands ---------------------------------------------------------------------------------------------------

    def run(self, root_id: str, command: cmd.Command) -> list[Event]:
        """Carry out a command on a tree, then deliver what it threw. Raises Refused; the tree is then as before."""
        events, _ = self._decide(root_id, command)
        self._deliver()
        return events

    def reply(self, root_id: str, command: cmd.Command) -> Reply:
        """As `run`; gives what the caller is told."""
        _, reply = self._decide(root_id, command)
        self._deliver()
        return reply

    def _decide(self, root_id: str, command: cmd.Command) -> tuple[list[Event], Reply]:
        tree = self.rows[root_id].load(command) if self.cold else self.trees[root_id]
        if not self.cold and isinstance(
            command, cmd.ExecuteJob | cmd.CompleteJob | cmd.FailJob | cmd.ThrowJobError | cmd.ChangeJob | cmd.DeleteJob
        ):
            tree.jobs.update(self.rows[root_id].load(command).jobs)
        try:
            decided, tree = self._decide_on(tree, root_id, command)
        except Refused:
            self.trees[root_id] = fold(Tree(root_id=root_id), self.history[root_id])
            raise
        self.history[root_id] += decided.events
        self.rows[root_id].write(tree, decided.events)
        if self.cold:
            fold(self.trees[root_id], decided.events)
            self._compare(tree, self.trees[root_id])
        self.trees[root_id].jobs.clear()
        self._thrown += [e for e in decided.events if isinstance(e, ev.SignalThrown | ev.MessageThrown)]
        return decided.events, decided.reply

    def _decide_on(self, tree: Tree, root_id: str, command: cmd.Command) -> tuple[Decision, Tree]:
        """The decision and the tree that it was made on: all of it, if a part did not do."""
        try:
            return decide(tree, command, self.env()), tree
        except (MissingTasks, MissingVariables):
            whole = self.rows[root_id].load(command, whole=True)
            return decide(whole, command, self.env()), whole

    def _compare(self, loaded: Tree, folded: Tree) -> None:
        for instance_id, instance in loaded.instances.items():
            other = folded.instances[instance_id]
            assert encode_tokens(instance) == encode_tokens(other), f"tokens of {instance_id} differ from their replay"
        rows = self.rows[folded.root_id]
        assert {k: v for k, v in rows.variables.items() if v} == {k: v for k, v in folded.variables.items() if v}
        assert all(folded.variables.get(scope, {}) == values for scope, values in loaded.variables.items())
        assert set(rows.tasks) == set(folded.tasks), "rows hold other tasks than the replay"

    def start(self, key: str, variables: Mapping[str, Any] | None = None, **more: Any) -> Tree:
        definition = self.definitions.latest(key, more.pop("tenant_id", ""))
        return self.start_definition(definition, variables, **more)

    def start_definition(self, definition: Definition, variables: Mapping[str, Any] | None = None, **more: Any) -> Tree:
        root_id = self._start(definition, variables, **more)
        self._deliver()
        return self.trees[root_id]

    def _start(self, definition: Definition, variables: Mapping[str, Any] | None = None, **more: Any) -> str:
        if definition.id in self.suspended_definitions:
            raise failed(
                "process-definition-suspended", f"expected definition {definition.id} to be active, found it suspended"
            )
        root_id = self.new_id()
        self.trees[root_id] = Tree(root_id=root_id)
        self.history[root_id] = []
        self.rows[root_id] = Rows(root_id)
        command = cmd.StartProcess(definition_id=definition.id, variables=variables_of(variables or {}), **more)
        try:
            self._decide(root_id, command)
        except Refused:
            del self.trees[root_id], self.history[root_id], self.rows[root_id]
            raise
        return root_id

    def start_by_message(self, name: str, variables: Mapping[str, Any] | None = None, tenant_id: str = "") -> Tree:
        for waiting in self.starts:
            if (waiting.wait.kind, waiting.wait.name, waiting.definition.tenant_id) == (MESSAGE, name, tenant_id):
                return self.start_definition(waiting.definition, variables, start_element_id=waiting.wait.element_id)
        raise not_found("message-not-found", f"expected a definition that message '{name}' starts, found none")

    def task(self, tree: Tree, name: str) -> str:
        """The id of the oldest open task of a name or element id."""
        return next(t.id for t in self.trees[tree.root_id].tasks.values() if name in (t.name, t.element_id))

    def complete(self, tree: Tree, name: str, variables: Mapping[str, Any] | None = None) -> list[Event]:
        command = cmd.CompleteTask(task_id=self.task(tree, name), variables=variables_of(variables or {}))
        return self.run(tree.root_id, command)

    def waiting(self, tree: Tree, element_id: str) -> Execution:
        """The oldest execution that waits at an element."""
        found = self.trees[tree.root_id].walk()
        return next(e for _, e in found if e.element == element_id and (e.waits or e.task) and not e.body)

    def trigger(self, tree: Tree, element_id: str, variables: Mapping[str, Any] | None = None) -> list[Event]:
        execution = self.waiting(tree, element_id)
        return self.run(
            tree.root_id, cmd.TriggerExecution(execution_id=execution.id, variables=variables_of(variables or {}))
        )

    def message(self, tree: Tree, name: str, variables: Mapping[str, Any] | None = None) -> list[Event]:
        """Deliver to the oldest subscription of the tree."""
        for row in self.rows[tree.root_id].subscriptions.values():
            if (row.kind, row.name) == (MESSAGE, name):
                command = cmd.DeliverMessage(
                    execution_id=row.execution_id,
                    name=name,
                    subscription_id=row.id,
                    variables=variables_of(variables or {}),
                )
                return self.run(tree.root_id, command)
        raise not_found("subscription-not-found", f"expected somebody to wait for message '{name}', found nobody")

    def broadcast(self, name: str, variables: Mapping[str, Any] | None = None, tenant_id: str = "") -> None:
        """A signal from outside, to everybody of a tenant."""
        self._broadcast(name, variables or {}, tenant_id, except_root="")
        self._deliver()

    # --- deliveries -------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while self._thrown:
            event = self._thrown.pop(0)
            if isinstance(event, ev.SignalThrown):
                root_id = next(root for root, tree in self.trees.items() if event.instance_id in tree.instances)
                self._broadcast(
                    event.name, event.variables, event.tenant_id, except_root=root_id, asynchronous=event.asynchronous
                )
            elif isinstance(event, ev.MessageThrown):
                self._send(event)

    def _broadcast(
        self, name: str, variables: Mapping[str, Any], tenant_id: str, except_root: str, *, asynchronous: bool = False
    ) -> None:
        rows = [s for r in self.rows.values() for s in r.subscriptions.values() if r.root_id != except_root]
        for row in rows:
            if (row.kind, row.name, row.tenant_id, row.configuration) == (SIGNAL, name, tenant_id, ""):
                self._signal(row.root_id, row.execution_id, row.id, name, variables, asynchronous=asynchronous)
        for waiting in list(self.starts):
            if (waiting.wait.kind, waiting.wait.name, waiting.definition.tenant_id) == (SIGNAL, name, tenant_id):
                self._start(waiting.definition, variables, start_element_id=waiting.wait.element_id)

    def _signal(
        self,
        root_id: str,
        execution_id: str,
        subscription_id: str,
        name: str,
        variables: Mapping[str, Any],
        *,
        asynchronous: bool,
    ) -> None:
        command = cmd.DeliverSignal(
            execution_id=execution_id,
            subscription_id=subscription_id,
            name=name,
            variables=variables_of(variables),
            asynchronous=asynchronous,
        )
        try:
            self._decide(root_id, command)
        except Refused as refused:
            if refused.reason not in ("process-instance-suspended", "execution-not-found", "subscription-not-found"):
                raise

    def _send(self, event: ev.MessageThrown) -> None:
        for rows in self.rows.values():
            for row in rows.subscriptions.values():
                if (row.kind, row.name, row.tenant_id) == (MESSAGE, event.name, event.tenant_id):
                    command = cmd.DeliverMessage(
                        execution_id=row.execution_id,
                        subscription_id=row.id,
                        name=event.name,
                        variables=variables_of(event.variables),
                    )
                    self._decide(rows.root_id, command)
                    return
        for waiting in self.starts:
            if (waiting.wait.kind, waiting.wait.name, waiting.definition.tenant_id) == (
                MESSAGE,
                event.name,
                event.tenant_id,
            ):
                self._start(waiting.definition, event.variables, start_element_id=waiting.wait.element_id)
                return

    # --- jobs and time ----------------------------------------------------------------------------------------------

    def jobs(self, *kinds: str, dead: bool = False) -> list[tuple[str, Job]]:
        """Root ids and jobs of running instances, soonest first; suspended instances' jobs are left out."""
        found = [
            (rows.root_id, job)
            for rows in self.rows.values()
            for job in rows.jobs.values()
            if job.dead is dead
            and (not kinds or job.kind in kinds)
            and not self.is_suspended(rows.root_id, job.instance_id)
        ]
        return sorted(found, key=lambda pair: pair[1].due_at)

    def is_suspended(self, root_id: str, instance_id: str) -> bool:
        return self.trees[root_id].instances[instance_id].state == "suspended"

    def run_job(self, root_id: str, job: Job) -> bool:
        """Execute a job; a refusal counts as a failed attempt. Says whether it succeeded."""
        try:
            self.run(root_id, cmd.ExecuteJob(job_id=job.id))
        except Refused as refused:
            self.run(root_id, cmd.FailJob(job_id=job.id, error=refused.message))
            return False
        return True

    def run_jobs(self, limit: int = 1000) -> int:
        """Execute due asynchronous jobs, those that they create too; gives how many ran."""
        ran = 0
        while ran < limit:
            due = [(root, job) for root, job in self.jobs(ASYNC) if job.due_at <= self.now]
            if not due:
                break
            self.run_job(*due[0])
            ran += 1
        return ran

    def fire_timers(self) -> None:
        """Execute due timers, of instances and of definitions, until none is due."""
        for _ in range(10_000):
            due = [(root, job) for root, job in self.jobs(TIMER) if job.due_at <= self.now]
            if due:
                self.run_job(*due[0])
            elif not self._fire_start():
                return
        raise AssertionError("expected timers to come to an end, found that they do not")

    def _fire_start(self) -> bool:
        for waiting in self.starts:
            wait = waiting.wait
            if wait.kind == TIMER and wait.due_at is not None and wait.due_at <= self.now:
                following = starts.next_start(wait, self.now)
                self.starts.remove(waiting)
                if following is not None:
                    self.starts.append(Waiting(waiting.definition, following))
                self.start_definition(waiting.definition, start_element_id=wait.element_id)
                return True
        return False

    def worker(self, topic: str) -> tuple[str, Job]:
        """The oldest job of a topic, locked by a worker."""
        for root_id, job in self.jobs(EXTERNAL):
            if job.topic == topic and job.due_at <= self.now:
                self.rows[root_id].jobs[job.id].lock_owner = "worker"
                return root_id, job
        raise not_found("job-not-found", f"expected a job of topic '{topic}', found none")

    def http_job(self) -> tuple[str, Job]:
        return self.jobs(HTTP)[0]

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)

    # --- checks -----------------------------------------------------------------------------------------------------

    def check_replay(self) -> None:
        """Replaying all events gives the same states, byte for byte, and ended instances left nothing behind."""
        for root_id, tree in self.trees.items():
            replayed = fold(Tree(root_id=root_id), self.history[root_id])
            self._compare(replayed, tree)
            for instance in tree.instances.values():
                if instance.is_ended:
                    left = self.rows[root_id].left_of(instance.id)
                    assert not left, f"instance of {instance.definition_key} ended and left {left}"


def _same(one: Definition, other: Definition) -> bool:
    return (one.key, one.tenant_id) == (other.key, other.tenant_id)


def state_of(tree: Tree) -> str:
    return tree.instances[tree.root_id].state


def tasks_of(tree: Tree) -> list[str]:
    """Names of the open tasks, sorted."""
    return sorted(task.name for task in tree.tasks.values())


def waiting_at(tree: Tree) -> list[str]:
    """The element ids at which tokens wait, sorted: living executions that hold no others."""
    return sorted(
        e.element for i in tree.instances.values() for e in i.executions.values() if not e.scope and not e.body
    )


def started(events: Iterable[Event]) -> list[str]:
    """The element ids that began, in order; frames of loops are left out."""
    return [e.element_id for e in events if isinstance(e, ev.ElementStarted) and not e.body]


def canceled(events: Iterable[Event]) -> list[str]:
    """The element ids that were cancelled, in order."""
    return [e.element_id for e in events if isinstance(e, ev.ElementEnded) and e.canceled]
