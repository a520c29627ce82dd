"""One batch of requests in one transaction: find, load, decide one after the other, flush.

A request that is refused, or that fails by a bug, takes nothing with it: its tree is built anew from the loaded rows
and the events accepted before. Errors of the database leave by exception; nothing was written then.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from engine.app.asks import DEFINITION, JOB, REQUEST, Ask, name, no_such, request_of, scope_of, target_of, want
from engine.app.permitting import check, check_start
from engine.app.sagas.batching import told_of_sagas
from engine.app.unit_of_work import (
    MESSAGE,
    SIGNAL,
    Accepted,
    Changes,
    Committed,
    CompletionSagas,
    DefinitionSource,
    EncodeEvents,
    FailedDelivery,
    Found,
    IdSource,
    Loaded,
    StartJob,
    Targets,
    Throw,
    UnitOfWork,
    Wanted,
)
from engine.kernel import commands as cmd
from engine.kernel import decide as kernel
from engine.kernel import events as ev
from engine.kernel.apply import fold
from engine.kernel.env import Env, Limits, Scripts
from engine.kernel.errors import NOT_FOUND, MissingDefinition, MissingTasks, MissingVariables, Refused, failed
from engine.kernel.state import Tree
from engine.kernel.texts import check_texts
from engine.kernel.triggers.timer import next_of

MAX_LOADS_PER_COMMAND: Final = 256
"""Definitions and variables that one command may ask for before it counts as a bug."""
MAX_DELIVERY_ATTEMPTS: Final = 5
MAX_ERROR_LENGTH: Final = 4000
_POSTPONE: Final = timedelta(seconds=60)
_THROWN: Final = (ev.SignalThrown, ev.MessageThrown)

Decide = Callable[[Tree, cmd.Command, Env], kernel.Decision]


class Clock(Protocol):
    """Tells the time: aware, UTC."""

    def now(self) -> datetime:
        """Return the present moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What batches are given of the world."""

    definitions: DefinitionSource
    scripts: Scripts
    ids: IdSource
    shard_of: Callable[[str], int]
    clock: Clock
    encode_events: EncodeEvents
    limits: Limits
    decide: Decide = kernel.decide
    completions: CompletionSagas | None = None


@dataclass(slots=True)
class Outcome:
    """What a batch did: facts for listeners, and the throws that have deliveries under way."""

    committed: list[Committed]
    deliveries: int


class Batch:
    """One attempt of a batch."""

    def __init__(self, unit: UnitOfWork, world: World, asks: Sequence[Ask], *, skip_locked: bool = False) -> None:
        self._unit = unit
        self._world = world
        self._asks = asks
        self._members = [member for ask in asks for member in (ask, *ask.others)]
        self._skip_locked = skip_locked
        self._loaded: Loaded | None = None
        self._changes = Changes()
        self._spoilt: set[str] = set()
        self._followers: list[tuple[Ask, Ask]] = []
        self._targets: list[tuple[Ask, str, str]] = []
        self._is_broken = False

    def run(self) -> Outcome:
        """Do it all; each ask has its answer afterwards. Raises the errors of the database."""
        for ask in self._members:
            ask.reset()
            if not ask.command_id:
                ask.command_id = self._world.ids.root()
        try:
            self._load(self._find())
            following = {id(follower) for follower, _ in self._followers}
            for ask in self._asks:
                if ask.others and ask.reply is None and id(ask) not in following:
                    self._attempt_all(ask)
                elif not ask.is_settled and id(ask) not in following:
                    self._attempt(ask)
            for root_id in {accepted.root_id for accepted in self._changes.accepted} & self._spoilt:
                self._tree(root_id)
            self._recall()
        except BaseException:
            self._unit.rollback()
            raise
        deliveries = 0
        if self._changes.is_empty:
            self._unit.rollback()
        else:
            deliveries = self._unit.flush(self._changes, self._loaded)
        for follower, first in self._followers:
            if first.reply is not None:
                follower.repeat({**first.reply, REQUEST: request_of(first.command)})
            else:
                follower.error = first.error
        accepted = self._changes.accepted
        return Outcome(
            [
                Committed(
                    root_id=a.root_id,
                    command_id=a.command_id,
                    tenant_id=a.tenant_id,
                    events=a.events,
                    sagas=[change.saga for change in a.sagas if change.is_new] if a.sagas else (),
                )
                for a in accepted
            ],
            deliveries,
        )

    def _find(self) -> Found:
        """Look up what is named, answer repeated requests, refuse what does not exist."""
        targets = Targets()
        first: dict[str, Ask] = {}
        named: list[tuple[Ask, str, str]] = []
        for ask in self._asks:
            if ask.request_id:
                if ask.request_id in first:
                    self._followers.append((ask, first[ask.request_id]))
                    continue
                first[ask.request_id] = ask
                targets.requests.append(ask.request_id)
            if ask.due_job is not None:
                ask.root_id = ask.due_job.root_id
            elif ask.delivery is not None:
                ask.root_id = ask.delivery.root_id
            for member in (ask, *ask.others):
                name(member, targets, named)
        found = Found() if targets.is_empty else self._unit.find(targets)
        for request_id, reply in found.answers.items():
            first[request_id].repeat(reply)
        for ask, kind, target_id in named:
            if ask.is_settled:
                continue
            if kind == DEFINITION:
                self._check_definition(ask, target_id, found)
            elif ask.due_job is None and ask.delivery is None:
                root_id = found.roots.get(target_id)
                if root_id is None:
                    ask.error = no_such(kind, target_id)
                else:
                    ask.root_id = root_id
        self._targets = [(ask, kind, target_id) for ask, kind, target_id in named if not ask.is_settled]
        return found

    def _check_definition(self, ask: Ask, definition_id: str, found: Found) -> None:
        suspended = found.suspended.get(definition_id)
        if suspended is None:
            ask.error = no_such(DEFINITION, definition_id)
        else:
            ask.error = check_start(ask.command, definition_id, found)
        if ask.error is None and suspended:
            ask.error = failed(
                "definition-suspended",
                f"expected process definition {definition_id} to be active, found it suspended",
                process_definition_id=definition_id,
            )
        if ask.error is not None and ask.delivery is not None:
            self._settle_delivery(ask, ask.error)
        elif ask.error is not None and ask.due_job is not None:
            self._postpone(ask, ask.due_job.id, ask.error)

    def _load(self, found: Found) -> None:
        """Lock and load what the commands need."""
        wanted = Wanted(skip_locked=self._skip_locked)
        for ask, kind, target_id in self._targets:
            if ask.delivery is not None:
                wanted.deliveries.append(ask.delivery.key)
            if ask.due_job is not None and not ask.due_job.root_id:
                wanted.jobs.append(ask.due_job.id)
            elif ask.root_id:
                want(wanted, ask, kind, target_id, scope_of(ask, kind, target_id, found))
            elif kind == JOB:
                wanted.jobs.append(target_id)
        if wanted.roots or wanted.jobs or wanted.deliveries:
            self._loaded = self._unit.load(wanted)

    def _attempt(self, ask: Ask) -> None:
        if ask.delivery is not None and (self._loaded is None or ask.delivery.key not in self._loaded.deliveries):
            ask.reply = {}
        elif isinstance(ask.command, Throw):
            self._throw(ask, ask.command)
        elif ask.due_job is not None and not ask.due_job.root_id:
            self._start_by_timer(ask)
        elif isinstance(ask.command, cmd.StartProcess):
            self._start(ask, ask.command)
        else:
            self._carry_out(ask)

    def _attempt_all(self, ask: Ask) -> None:
        """Carry out commands that belong together: if one is refused, those before it are taken back."""
        members = (ask, *ask.others)
        accepted = self._changes.accepted
        before = len(accepted)
        error = next((member.error for member in members if member.error is not None), None)
        for member in members if error is None else ():
            self._attempt(member)
            error = member.error
            if error is not None:
                break
        if error is None:
            ask.throw_ids = [throw_id for member in members for throw_id in member.throw_ids]
            return
        self._spoilt.update(one.root_id for one in accepted[before:])
        del accepted[before:]
        ask.reply, ask.error, ask.throw_ids = None, error, []

    def _start(self, ask: Ask, command: cmd.StartProcess) -> None:
        if not ask.instance_id:
            ask.instance_id = command.instance_id or self._world.ids.root()
        ask.root_id = ask.instance_id
        self._changes.trees[ask.root_id] = Tree(root_id=ask.root_id)
        started = msgspec.structs.replace(command, instance_id=ask.instance_id)
        if not self._decided(ask, started):
            del self._changes.trees[ask.root_id]
            self._spoilt.discard(ask.root_id)

    def _carry_out(self, ask: Ask) -> None:
        if self._loaded is None or not self._loaded.holds(ask.root_id):
            self._miss(ask)
            return
        if ask.command.rights is not None:
            ask.error = check(ask.command, self._tree(ask.root_id))
        if ask.error is not None:
            return
        if ask.due_job is not None and not self._is_still_due(ask.root_id, ask.due_job.id):
            ask.reply = {}
        elif not self._decided(ask, ask.command) and ask.due_job is not None and ask.error is not None:
            self._fail_job(ask, ask.error)

    def _is_still_due(self, root_id: str, job_id: str) -> bool:
        """Between the look for due jobs and our lock, somebody else may have executed or moved it."""
        job = self._tree(root_id).jobs.get(job_id)
        return job is not None and not job.dead and not job.suspended and job.due_at <= self._world.clock.now()

    def _miss(self, ask: Ask) -> None:
        """The tree is gone, or somebody else holds it and we do not wait."""
        if ask.delivery is not None:
            self._changes.deliveries_made.append(ask.delivery.key)
            ask.reply = {}
        elif ask.due_job is not None:
            ask.reply = {}
        else:
            kind, target_id = target_of(ask.command)
            if kind == JOB and self._loaded is not None and target_id in self._loaded.start_jobs:
                self._operate_start_job(ask, self._loaded.start_jobs[target_id])
            else:
                ask.error = no_such(kind, target_id)

    def _decided(self, ask: Ask, command: cmd.Command) -> bool:
        """Let the kernel decide; tells whether it carried the command out. Sets the answer of the ask."""
        try:
            decision, at = self._decide(ask.root_id, command)
        except Refused as refused:
            if ask.delivery is not None:
                self._settle_delivery(ask, refused)
            else:
                ask.error = refused
            return False
        except Exception as bug:
            # Whatever it is, it must not take the others of the batch with it, unless the transaction itself is gone.
            if self._is_broken:
                raise
            if ask.delivery is not None:
                self._settle_delivery(ask, bug)
            else:
                ask.error = bug
            return False
        if ask.delivery is not None:
            self._changes.deliveries_made.append(ask.delivery.key)
        self._accept(ask, command, decision.events, decision.reply, at)
        return True

    def _decide(self, root_id: str, command: cmd.Command) -> tuple[kernel.Decision, datetime]:
        world = self._world
        at = world.clock.now()
        env = Env(
            now=at,
            new_id=world.ids.for_shard(world.shard_of(root_id)),
            definitions=world.definitions,
            scripts=world.scripts,
            limits=world.limits,
        )
        for _ in range(MAX_LOADS_PER_COMMAND):
            tree = self._tree(root_id)
            try:
                return world.decide(tree, command, env), at
            except MissingDefinition as missing:
                self._spoilt.add(root_id)
                world.definitions.load(missing)
            except MissingVariables:
                self._spoilt.add(root_id)
                self._load_more(self._unit.load_variables, root_id)
            except MissingTasks:
                self._spoilt.add(root_id)
                self._load_more(self._unit.load_tasks, root_id)
            except BaseException:
                self._spoilt.add(root_id)
                raise
        raise RuntimeError(f"expected at most {MAX_LOADS_PER_COMMAND} loads for {type(command).__name__}, found more")

    def _load_more(self, load: Callable[[Loaded, str], None], root_id: str) -> None:
        assert self._loaded is not None, "a new tree has nothing in the database"
        self._is_broken = True
        load(self._loaded, root_id)
        self._is_broken = False

    def _recall(self) -> None:
        """Give refused requests the first answer that they got from another process between our look and our lock.

        What they name is gone, or has moved on, because they themselves were carried out there.
        """
        refused = {ask.request_id: ask for ask in self._asks if ask.request_id and isinstance(ask.error, Refused)}
        if refused:
            for request_id, reply in self._unit.find(Targets(requests=list(refused))).answers.items():
                refused[request_id].repeat(reply)

    def _tree(self, root_id: str) -> Tree:
        """The tree as the accepted commands left it, built anew if a failed one spoilt it."""
        trees = self._changes.trees
        tree = trees.get(root_id)
        if tree is not None and root_id not in self._spoilt:
            return tree
        self._spoilt.discard(root_id)
        if self._loaded is not None and self._loaded.holds(root_id):
            tree = self._loaded.tree(root_id)
        else:
            tree = Tree(root_id=root_id)
        for accepted in self._changes.accepted:
            if accepted.root_id == root_id:
                fold(tree, accepted.events)
        trees[root_id] = tree
        return tree

    def _accept(
        self, ask: Ask, command: cmd.Command, events: list[ev.Event], reply: dict[str, Any], at: datetime
    ) -> None:
        tree = self._changes.trees.get(ask.root_id)
        root = tree.instances.get(ask.root_id) if tree is not None else None
        tenant_id = command.tenant_id if isinstance(command, Throw) else root.tenant_id if root is not None else ""
        ask.throw_ids = [self._world.ids.root() for event in events if event.__class__ in _THROWN]
        self._changes.accepted.append(
            Accepted(
                command=command,
                command_id=ask.command_id,
                request_id=ask.request_id,
                root_id=ask.root_id,
                tenant_id=tenant_id,
                at=at,
                events=events,
                reply={**reply, REQUEST: request_of(ask.command)} if ask.request_id else reply,
                payload=self._world.encode_events(ask.root_id, ask.command_id, tenant_id, at, events),
                throw_ids=ask.throw_ids,
                sagas=told_of_sagas(self._world, tree, events, at),
            )
        )
        ask.reply = reply

    def _throw(self, ask: Ask, command: Throw) -> None:
        at = self._world.clock.now()
        event: ev.Event
        if command.kind == SIGNAL:
            event = ev.SignalThrown(
                instance_id="", name=command.name, at=at, tenant_id=command.tenant_id, variables=dict(command.variables)
            )
        else:
            assert command.kind == MESSAGE, f"expected a signal or a message, found {command.kind}"
            event = ev.MessageThrown(
                instance_id="",
                name=command.name,
                at=at,
                tenant_id=command.tenant_id,
                business_key=command.business_key,
                variables=dict(command.variables),
            )
        try:
            check_texts([event], command)
        except Refused as refused:
            ask.error = refused
            return
        self._accept(ask, command, [event], {}, at)

    def _settle_delivery(self, ask: Ask, error: Exception) -> None:
        """Nobody waits any more: there is nothing to deliver. Refused otherwise: again later, at last dead."""
        delivery = ask.delivery
        assert delivery is not None, "only deliveries are settled"
        ask.error = None
        ask.reply = {}
        if isinstance(error, Refused) and error.status == NOT_FOUND:
            self._changes.deliveries_made.append(delivery.key)
            return
        attempts = delivery.attempts + 1
        pause = self._world.limits.retry_base_seconds * 2 ** (attempts - 1)
        self._changes.deliveries_failed.append(
            FailedDelivery(
                key=delivery.key,
                attempts=attempts,
                error=_text_of(error),
                due_at=self._world.clock.now() + timedelta(seconds=min(pause, self._world.limits.retry_max_seconds)),
                dead=attempts >= MAX_DELIVERY_ATTEMPTS,
            )
        )

    def _fail_job(self, ask: Ask, error: Exception) -> None:
        """A due job could not be executed: one retry less, in this same transaction."""
        assert ask.due_job is not None, "only due jobs are failed"
        ask.error = None
        details = "" if isinstance(error, Refused) else "".join(traceback.format_exception(error))
        command = cmd.FailJob(job_id=ask.due_job.id, error=_text_of(error), details=details)
        if isinstance(error, Refused) and error.reason == "job-not-found":
            ask.reply = {}
            return
        if not self._decided(ask, command):
            self._postpone(ask, ask.due_job.id, error)
        ask.reply = {"failed": _text_of(error)}

    def _postpone(self, ask: Ask, job_id: str, error: Exception) -> None:
        """It cannot even fail: out of the way for a while, with the reason where an operator looks."""
        self._changes.jobs_postponed.append((job_id, self._world.clock.now() + _POSTPONE, _text_of(error)))
        ask.reply, ask.error = {"failed": _text_of(error)}, None

    def _start_by_timer(self, ask: Ask) -> None:
        """A timer start event fires: once, for whoever holds its job's row."""
        assert ask.due_job is not None, "only due jobs come here"
        job = self._loaded.start_jobs.get(ask.due_job.id) if self._loaded is not None else None
        now = self._world.clock.now()
        if job is None or job.due_at > now or not isinstance(ask.command, cmd.StartProcess):
            ask.reply = {}
            return
        self._operate_start_job(ask, job)

    def _operate_start_job(self, ask: Ask, job: StartJob) -> None:
        now = self._world.clock.now()
        if ask.command.rights is not None and not ask.command.rights.sees(job.tenant_id):
            ask.error = no_such(JOB, job.id)
            return
        if isinstance(ask.command, cmd.DeleteJob):
            self._changes.jobs_ended.append(job.id)
            ask.reply = {}
            return
        if isinstance(ask.command, cmd.ChangeJob) and ask.command.due_at is not None:
            self._changes.jobs_moved.append((job.id, ask.command.due_at, job.repeat))
            ask.reply = {}
            return
        if not isinstance(ask.command, cmd.StartProcess | cmd.ExecuteJob):
            ask.error = failed(
                "definition-job",
                f"expected a job of a process instance, found job {job.id}, which starts instances",
                job_id=job.id,
            )
            return
        self._start(ask, cmd.StartProcess(definition_id=job.definition_id, start_element_id=job.element_id))
        if ask.error is not None:
            if ask.due_job is not None:
                self._postpone(ask, job.id, ask.error)
            return
        following = next_of(job.repeat, job.due_at, now)
        if following is None:
            self._changes.jobs_ended.append(job.id)
        else:
            self._changes.jobs_moved.append((job.id, *following))


def _text_of(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return (text if isinstance(error, Refused) else f"{type(error).__name__}: {text}")[:MAX_ERROR_LENGTH]
