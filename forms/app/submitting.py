"""Submitting: a form's values checked and kept, as a step of a saga or by itself.

The barrier is the row of (saga_id, step_id). Whatever comes twice or in another order finds it: a discard that comes
before its prepare leaves a row that refuses the prepare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from forms.app.ports import Queries, Store, Unit
from forms.app.requests import once
from forms.app.resolving import FormAsk, Found, Resolving
from forms.app.typed import read_typed, write_typed
from forms.model.faults import refuse
from forms.model.limits import FormLimits
from forms.model.records import DISCARDED, PREPARED, SUBMITTED, Instance
from forms.model.submission import Accepted, Submission, check
from forms.model.values import TypedValue
from mesh.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

MAX_STEP_ID: Final = 128
MAX_ID: Final = 64
MAX_TEXT: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """What is submitted, with which form, and what it belongs to; ids that are not given are empty."""

    form: FormAsk
    submission: Submission
    size: int
    """Bytes of the values as they came."""
    task_id: str = ""
    process_instance_id: str = ""
    process_definition_id: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A submission that was accepted, and the variables that come of it."""

    instance: Instance
    variables: Mapping[str, TypedValue]


class Submitting:
    """Checks and keeps submissions."""

    def __init__(
        self,
        store: Store,
        queries: Queries,
        forms: Resolving,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        limits: FormLimits,
    ) -> None:
        self._store = store
        self._queries = queries
        self._forms = forms
        self._now = now
        self._new_id = new_id
        self._limits = limits

    async def validate(self, ask: Submit) -> Mapping[str, TypedValue]:
        """Check and keep nothing. Raises NotFound; InvalidArgument with the faults of all fields."""
        _, accepted = await self._check(ask)
        return accepted.variables

    async def prepare(self, saga_id: str, step_id: str, ask: Submit) -> Prepared:
        """Check and keep as prepared; again: what was answered first.

        Raises as `validate`; FailedPrecondition if the step was discarded before.
        """
        _check_step(saga_id, step_id)
        former = await self._queries.instance_of_step(saga_id, step_id)
        if former is not None:
            return _again(former)
        found, accepted = await self._check(ask)
        instance = self._instance(ask, found, accepted, saga_id=saga_id, step_id=step_id, state=PREPARED)

        def work(unit: Unit) -> Prepared:
            former = unit.instance(saga_id, step_id)
            if former is not None:
                return _again(former)
            unit.put_instance(instance, is_new=True)
            return Prepared(instance=instance, variables=accepted.variables)

        return await self._store.transact(work)

    async def confirm(self, saga_id: str, step_id: str, process_instance_id: str = "") -> Instance:
        """The engine has committed. Raises NotFound if nothing was prepared."""
        _check_step(saga_id, step_id)
        now = self._now()

        def work(unit: Unit) -> Instance:
            found = unit.instance(saga_id, step_id)
            if found is None or not found.form_definition_id:
                raise NotFound(
                    "submission-not-found",
                    f"expected a submission that was prepared as step '{step_id}' of saga '{saga_id}', found none",
                )
            if found.state == SUBMITTED:
                return found
            settled = msgspec.structs.replace(
                found,
                state=SUBMITTED,
                submitted_at=now,
                process_instance_id=process_instance_id or found.process_instance_id,
                answer="",
            )
            unit.put_instance(settled, is_new=False)
            return settled

        return await self._store.transact(work)

    async def discard(self, saga_id: str, step_id: str) -> None:
        """The engine has refused. Raises FailedPrecondition if it was confirmed before."""
        _check_step(saga_id, step_id)
        now = self._now()
        tombstone = self._tombstone(saga_id, step_id, now)

        def work(unit: Unit) -> None:
            found = unit.instance(saga_id, step_id)
            if found is None:
                unit.put_instance(tombstone, is_new=True)
            elif found.state == SUBMITTED:
                raise FailedPrecondition(
                    "submission-confirmed",
                    f"expected step '{step_id}' of saga '{saga_id}' not to be confirmed, found it is",
                )
            elif found.state == PREPARED:
                settled = msgspec.structs.replace(found, state=DISCARDED, submitted_at=now, answer="")
                unit.put_instance(settled, is_new=False)

        await self._store.transact(work)

    async def submit(self, ask: Submit, request_id: str) -> Instance:
        """Keep a submission that belongs to nothing else. Raises as `validate`."""
        found, accepted = await self._check(ask)
        own_id = self._new_id()
        made = self._instance(ask, found, accepted, saga_id="", step_id=own_id, state=SUBMITTED)
        instance = msgspec.structs.replace(made, answer="")

        def work(unit: Unit) -> Instance:
            def add() -> str:
                unit.put_instance(instance, is_new=True)
                return msgspec.json.encode(instance).decode()

            answer = once(unit, request_id, "form-instance", instance.created_at, add, user_id=instance.submitted_by)
            return msgspec.json.decode(answer, type=Instance)

        return await self._store.transact(work)

    async def _check(self, ask: Submit) -> tuple[Found, Accepted]:
        if ask.size > self._limits.submitted_bytes:
            message = (
                f"expected values of at most {self._limits.submitted_bytes} bytes (limit: submitted_bytes), "
                f"found {ask.size}"
            )
            raise ResourceExhausted("submission-too-large", message, limit="submitted_bytes")
        _check_belongings(ask)
        found = await self._forms.find(ask.form)
        checked = await asyncio.to_thread(check, found.form, ask.submission, self._limits.pattern_bytes)
        if isinstance(checked, list):
            raise refuse("form-invalid", f"expected values that fit form '{found.form.key}'", checked)
        return found, checked

    def _instance(
        self, ask: Submit, found: Found, accepted: Accepted, *, saga_id: str, step_id: str, state: str
    ) -> Instance:
        now = self._now()
        return Instance(
            id=self._new_id(),
            saga_id=saga_id,
            step_id=step_id,
            state=state,
            form_definition_id=found.definition.id,
            form_key=found.definition.key,
            form_version=found.definition.version,
            outcome=ask.submission.outcome,
            task_id=ask.task_id,
            process_instance_id=ask.process_instance_id,
            process_definition_id=ask.process_definition_id,
            submitted_by=ask.user_id,
            tenant_id=ask.form.tenant_id or found.definition.tenant_id,
            created_at=now,
            submitted_at=now,
            content=write_typed(accepted.kept),
            answer=write_typed(accepted.variables),
        )

    def _tombstone(self, saga_id: str, step_id: str, now: datetime) -> Instance:
        return Instance(
            id=self._new_id(),
            saga_id=saga_id,
            step_id=step_id,
            state=DISCARDED,
            form_definition_id="",
            form_key="",
            form_version=0,
            outcome="",
            task_id="",
            process_instance_id="",
            process_definition_id="",
            submitted_by="",
            tenant_id="",
            created_at=now,
            submitted_at=now,
            content="{}",
            answer="",
        )


def _again(former: Instance) -> Prepared:
    if former.state == DISCARDED:
        raise FailedPrecondition(
            "submission-discarded",
            f"expected step '{former.step_id}' of saga '{former.saga_id}' not to be discarded, found it is",
        )
    # Once it is confirmed the process has its variables; what is left to tell are those that may be kept.
    return Prepared(instance=former, variables=read_typed(former.answer or former.content))


def _check_step(saga_id: str, step_id: str) -> None:
    for name, text in (("saga_id", saga_id), ("step_id", step_id)):
        if not 0 < len(text) <= MAX_STEP_ID:
            found = len(text) or "none"
            message = f"expected a {name} of 1 to {MAX_STEP_ID} characters, found {found}"
            raise InvalidArgument("no-saga-step", message)


def _check_belongings(ask: Submit) -> None:
    texts = (
        ("task_id", ask.task_id, MAX_ID),
        ("process_instance_id", ask.process_instance_id, MAX_ID),
        ("process_definition_id", ask.process_definition_id, MAX_ID),
        ("user_id", ask.user_id, MAX_TEXT),
        ("outcome", ask.submission.outcome, MAX_TEXT),
        ("tenant_id", ask.form.tenant_id, MAX_TEXT),
    )
    for name, text, most in texts:
        if len(text) > most:
            raise InvalidArgument("text-too-long", f"expected {name} of at most {most} characters, found {len(text)}")
