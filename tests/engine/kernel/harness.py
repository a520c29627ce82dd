"""An engine in memory around the pure kernel: definitions, trees by root, a manual clock and counted ids."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.bpmn import xml
from engine.bpmn.compile import Identity, compile_process, executable_processes
from engine.kernel import commands as cmd
from engine.kernel import registry
from engine.kernel.apply import fold
from engine.kernel.decide import decide
from engine.kernel.definition import Definition
from engine.kernel.env import Env, Limits, Scripts
from engine.kernel.errors import Refused, not_found
from engine.kernel.events import Event
from engine.kernel.state import Tree
from engine.kernel.values import variables_of

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
        raise not_found("process-definition-not-found", f"expected a process definition, found none with id '{definition_id}'")

    def latest(self, key: str, tenant_id: str) -> Definition:
        for definition in reversed(self.all):
            if definition.key == key and definition.tenant_id == tenant_id:
                return definition
        raise not_found("process-definition-not-found", f"expected a process definition, found none with key '{key}'")

    def in_deployment(self, key: str, deployment_id: str) -> Definition:
        for definition in self.all:
            if definition.key == key and definition.deployment_id == deployment_id:
                return definition
        raise not_found("process-definition-not-found", f"expected a process definition, found none with key '{key}'")


class MemoryEngine:
    """Runs commands one by one; a refused command leaves its tree as the accepted events made it."""

    def __init__(self, scripts: Scripts | None = None, limits: Limits | None = None) -> None:
        self.definitions = MemoryDefinitions()
        self.scripts: Scripts = scripts or NoScripts()
        self.limits = limits or Limits()
        self.now = BEGINNING
        self.trees: dict[str, Tree] = {}
        self.history: dict[str, list[Event]] = {}
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids:06d}"

    def env(self) -> Env:
        return Env(now=self.now, new_id=self.new_id, definitions=self.definitions, scripts=self.scripts, limits=self.limits)

    def deploy(self, text: str | bytes, tenant_id: str = "") -> list[Definition]:
        data = text.encode() if isinstance(text, str) else text
        root = xml.parse(data, "test.bpmn20.xml")
        deployed = []
        deployment_id = self.new_id()
        for process in executable_processes(root, "test.bpmn20.xml"):
            version = 1 + sum(1 for d in self.definitions.all if d.key == process.id and d.tenant_id == tenant_id)
            identity = Identity(
                definition_id=f"{process.id}:{version}:{self.new_id()}",
                version=version,
                deployment_id=deployment_id,
                tenant_id=tenant_id,
            )
            definition = compile_process(root, process, REGISTRY, "test.bpmn20.xml", identity)
            self.definitions.all.append(definition)
            deployed.append(definition)
        return deployed

    def run(self, root_id: str, command: cmd.Command) -> list[Event]:
        """Carry out a command on a tree. Raises Refused; the tree is then as before."""
        tree = self.trees[root_id]
        try:
            decision = decide(tree, command, self.env())
        except Refused:
            self.trees[root_id] = fold(Tree(root_id=root_id), self.history[root_id])
            raise
        self.history[root_id] += decision.events
        return decision.events

    def start(self, key: str, variables: Mapping[str, Any] | None = None, **more: Any) -> Tree:
        definition = self.definitions.latest(key, more.pop("tenant_id", ""))
        root_id = self.new_id()
        self.trees[root_id] = Tree(root_id=root_id)
        self.history[root_id] = []
        command = cmd.StartProcess(definition_id=definition.id, variables=variables_of(variables or {}), **more)
        try:
            self.run(root_id, command)
        except Refused:
            del self.trees[root_id], self.history[root_id]
            raise
        return self.trees[root_id]

    def task(self, tree: Tree, name: str) -> str:
        """The id of the oldest open task of a name or element id."""
        return next(t.id for t in tree.tasks.values() if name in (t.name, t.element_id))

    def complete(self, tree: Tree, name: str, variables: Mapping[str, Any] | None = None) -> list[Event]:
        command = cmd.CompleteTask(task_id=self.task(tree, name), variables=variables_of(variables or {}))
        return self.run(tree.root_id, command)

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def state_of(tree: Tree) -> str:
    return tree.instances[tree.root_id].state


def tasks_of(tree: Tree) -> list[str]:
    """Names of the open tasks, sorted."""
    return sorted(task.name for task in tree.tasks.values())


def waiting_at(tree: Tree) -> list[str]:
    """The element ids at which tokens wait, sorted: living executions that hold no others."""
    return sorted(e.element for i in tree.instances.values() for e in i.executions.values() if not e.scope and not e.body)
