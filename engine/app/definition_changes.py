"""Changing what is deployed: suspend and activate, now or at a date, with or without instances; category; starters.

A change that is to reach instances leaves a job behind in its own transaction. It is carried out here and now, and
taken away when done; if this process dies half-way, `run_due` of any process finds the job and finishes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.definitions import DefinitionCache, unknown_definition
from engine.app.deployments import raise_unless_gone
from engine.app.models import MAX_NAME
from engine.app.repository import (
    ACTIVATE_HANDLER,
    SUSPEND_HANDLER,
    Commands,
    DefinitionJob,
    DefinitionRecord,
    Reply,
    RepositoryStore,
    RepositoryUnit,
    Starter,
)
from engine.kernel.commands import ActivateInstance, Command, SuspendInstance
from engine.kernel.errors import FAILED_PRECONDITION, Refused, failed, invalid, not_found
from engine.kernel.state import ACTIVE, SUSPENDED

HOLD: Final = timedelta(seconds=60)
"""For how long a change that is being carried out here is left alone by the others."""
RETRIES: Final = 3
RETRY_BASE: Final = timedelta(seconds=2)
PAGE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeState:
    """Suspend or activate a definition; `at` None: now."""

    definition_id: str
    suspend: bool
    include_instances: bool = False
    at: datetime | None = None
    request_id: str = ""


class DefinitionChanges:
    """Changes definitions that are deployed already."""

    def __init__(
        self,
        store: RepositoryStore,
        definitions: DefinitionCache,
        commands: Commands,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`rights` bind whoever asks: they change what they see."""
        self._rights = rights
        self._store = store
        self._definitions = definitions
        self._commands = commands
        self._now = now
        self._new_id = new_id

    # --- suspend and activate -----------------------------------------------------------------------------------------

    async def change_state(self, ask: ChangeState) -> None:
        """Suspend or activate, or schedule it.

        Raises Refused: NOT_FOUND; FAILED_PRECONDITION if it is in that state already.
        """
        reply = await asyncio.to_thread(self._change_state, ask)
        if reply.get("job"):
            await self._carry_out(reply["job"])

    async def change_state_by_key(
        self, key: str, tenant_id: str, *, suspend: bool, include_instances: bool = False
    ) -> list[str]:
        """Suspend or activate all versions of a key that are not in that state yet; returns their ids, newest first.

        Raises Refused: NOT_FOUND; FAILED_PRECONDITION if all are in that state already.
        """
        records = await asyncio.to_thread(self._store.read, lambda reader: reader.versions(key, tenant_id))
        if not records:
            raise not_found(
                "process-definition-not-found",
                f"expected a process definition, found none with key '{key}'",
                process_definition_key=key,
            )
        wanted = [record for record in records if record.suspended != suspend]
        if not wanted:
            raise _already(records[0], suspend=suspend)
        ids = [record.id for record in wanted]
        for definition_id in ids:
            ask = ChangeState(definition_id=definition_id, suspend=suspend, include_instances=include_instances)
            await self.change_state(ask)
        return ids

    async def run_due(self, most: int = 16) -> int:
        """Carry out the scheduled changes that are due, for the job executor; says how many were.

        One that fails is tried again later with exponential back-off, as jobs are.
        """
        now = self._now()
        due = await asyncio.to_thread(self._store.read, lambda reader: reader.due_changes(now, most))
        done = 0
        for job_id in due:
            if not (await asyncio.to_thread(self._store.write, self._holding(job_id))).get("held"):
                continue
            try:
                await self._carry_out(job_id)
                done += 1
            except Refused as refused:
                await asyncio.to_thread(self._store.write, self._failing(job_id, refused.message))
        return done

    def _holding(self, job_id: str) -> Callable[[RepositoryUnit], Reply]:
        now = self._now()
        return lambda unit: {"held": unit.hold_change(job_id, now + HOLD, now)}

    def _failing(self, job_id: str, error: str) -> Callable[[RepositoryUnit], Reply]:
        now = self._now()

        def work(unit: RepositoryUnit) -> Reply:
            job = unit.job(job_id)
            if job is not None:
                unit.fail_change(job_id, now + RETRY_BASE * 2 ** (RETRIES - job.retries), error)
            return {}

        return work

    async def _carry_out(self, job_id: str) -> None:
        """Carry out a change; its job is gone afterwards. Does nothing if somebody has done it meanwhile."""
        job = await asyncio.to_thread(self._begin, job_id)
        if job is None:
            return
        if job.payload.get("include_process_instances"):
            await self._change_instances(job.definition_id, suspend=job.handler == SUSPEND_HANDLER)

        def end(unit: RepositoryUnit) -> Reply:
            unit.drop_job(job_id)
            return {}

        await asyncio.to_thread(self._store.write, end)

    def _change_state(self, ask: ChangeState) -> Reply:
        now = self._now()
        later = ask.at is not None and ask.at > now
        job = DefinitionJob(
            id=self._new_id(),
            definition_id=ask.definition_id,
            handler=SUSPEND_HANDLER if ask.suspend else ACTIVATE_HANDLER,
            due_at=ask.at if ask.at is not None and later else now,
            retries=RETRIES,
            created_at=now,
            tenant_id="",
            payload={"include_process_instances": ask.include_instances},
            held_until=None if later else now + HOLD,
        )

        def work(unit: RepositoryUnit) -> Reply:
            record = self._existing(unit, ask.definition_id)
            if record.suspended == ask.suspend:
                raise _already(record, suspend=ask.suspend)
            if not later:
                unit.lock_definitions([record.id])
                unit.set_suspended(record.id, suspended=ask.suspend)
            if later or ask.include_instances:
                unit.add_change(job)
            return {"definition": record.id, "job": "" if later or not ask.include_instances else job.id}

        reply = self._store.write(work, ask.request_id, f"change state of {ask.definition_id}")
        self._definitions.changed()
        return reply

    def _begin(self, job_id: str) -> DefinitionJob | None:
        job = self._store.read(lambda reader: reader.job(job_id))
        if job is None:
            return None
        suspend = job.handler == SUSPEND_HANDLER

        def work(unit: RepositoryUnit) -> Reply:
            record = unit.definition(job.definition_id)
            if record is not None and record.suspended != suspend:
                unit.lock_definitions([record.id])
                unit.set_suspended(record.id, suspended=suspend)
            return {}

        self._store.write(work)
        self._definitions.changed()
        return job

    async def _change_instances(self, definition_id: str, *, suspend: bool) -> None:
        """Bring the instances into the wanted state; those that somebody brings back meanwhile are left so."""
        state = ACTIVE if suspend else SUSPENDED
        after = ""
        while True:
            found = await asyncio.to_thread(self._instances, definition_id, state, after)
            if not found:
                return
            after = found[-1]
            asks: list[Command] = [
                SuspendInstance(instance_id=id_) if suspend else ActivateInstance(instance_id=id_) for id_ in found
            ]
            outcomes = await asyncio.gather(*map(self._commands.submit, asks), return_exceptions=True)
            raise_unless_gone(
                outcome
                for outcome in outcomes
                if not (isinstance(outcome, Refused) and outcome.status == FAILED_PRECONDITION)
            )

    def _instances(self, definition_id: str, state: str, after: str) -> list[str]:
        return [
            id_ for id_, _ in self._store.read(lambda reader: reader.instances_of([definition_id], state, after, PAGE))
        ]

    # --- category and starters ----------------------------------------------------------------------------------------

    async def set_category(self, definition_id: str, category: str, request_id: str = "") -> None:
        """Raises Refused: NOT_FOUND; INVALID_ARGUMENT for a category that is too long."""
        if len(category) > MAX_NAME:
            raise invalid(
                "text-too-long", f"expected a category of at most {MAX_NAME} characters, found {len(category)}"
            )

        def work(unit: RepositoryUnit) -> Reply:
            unit.set_category(self._existing(unit, definition_id).id, category)
            return {"definition": definition_id}

        await asyncio.to_thread(self._store.write, work, request_id, f"set category of {definition_id}")
        self._definitions.changed()

    async def add_starter(self, definition_id: str, starter: Starter, request_id: str = "") -> None:
        """Adding one that is there already changes nothing (Flowable). Raises Refused: NOT_FOUND; INVALID_ARGUMENT for
        anything but exactly one of user and group."""
        if bool(starter.user_id) == bool(starter.group_id):
            found = "both" if starter.user_id else "neither"
            raise invalid("starter", f"expected either a user or a group, found {found}")
        if len(starter.user_id + starter.group_id) > MAX_NAME:
            found = f"expected a user or a group of at most {MAX_NAME} characters (limit: MAX_NAME), found more"
            raise invalid("starter", found)
        link_id = self._new_id()

        def work(unit: RepositoryUnit) -> Reply:
            self._existing(unit, definition_id)
            if starter not in unit.starters(definition_id):
                unit.add_starters(definition_id, [(link_id, starter)])
            return {"definition": definition_id}

        await asyncio.to_thread(self._store.write, work, request_id, f"add starter to {definition_id}")

    async def remove_starter(self, definition_id: str, starter: Starter, request_id: str = "") -> None:
        """Raises Refused (NOT_FOUND) for an unknown definition or link."""

        def work(unit: RepositoryUnit) -> Reply:
            self._existing(unit, definition_id)
            if not unit.drop_starter(definition_id, starter):
                raise _no_starter(definition_id, starter)
            return {"definition": definition_id}

        await asyncio.to_thread(self._store.write, work, request_id, f"remove starter of {definition_id}")

    def _existing(self, unit: RepositoryUnit, definition_id: str) -> DefinitionRecord:
        # Threads that are started for a call have its context, so it is known here who asks.
        rights = self._rights()
        found = unit.definition(definition_id)
        if found is None or (rights is not None and not rights.sees(found.tenant_id)):
            raise unknown_definition(definition_id)
        return found


def _already(record: DefinitionRecord, *, suspend: bool) -> Refused:
    wanted, found = ("active", "suspended") if suspend else ("suspended", "active")
    return failed(
        f"already-{found}",
        f"expected process definition {record.id} to be {wanted}, found it {found}",
        process_definition_id=record.id,
    )


def _no_starter(definition_id: str, starter: Starter) -> Refused:
    who = f"user '{starter.user_id}'" if starter.user_id else f"group '{starter.group_id}'"
    return not_found(
        "identity-link-not-found",
        f"expected {who} to be a candidate starter of {definition_id}, found it not",
        process_definition_id=definition_id,
    )
