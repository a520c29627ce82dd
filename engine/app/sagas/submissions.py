"""The saga `form-submission`: its caller prepares and submits, the orchestrator logs, confirms or discards.

Whoever takes a saga whose caller died asks whether its command was committed, and goes on or back by that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from engine.app.forms import Forms, Step, Submission
from engine.app.sagas.declarations import CONFIRM, FORM_SUBMISSION, PREPARE, SUBMIT
from engine.app.sagas.orchestrator import Orchestrator
from engine.app.sagas.ports import StepAnswer, StepCall, StepRefused
from engine.app.sagas.state import COMPENSATE, Saga
from mesh.errors import FailedPrecondition, InvalidArgument, NotFound

STEP: Final = "submission"
"""The step under which forms keeps a submission: one for the whole saga."""
_FINAL: Final = (FailedPrecondition, InvalidArgument, NotFound)

WasCommitted = Callable[[str, str], Awaitable[tuple[bool, str]]]
"""Tells of a saga's id and task (empty: a start) whether its command was committed, and the instance it started."""


class SubmissionSagas:
    """The log of submissions, for whoever carries them out."""

    def __init__(self, orchestrator: Orchestrator, now: Callable[[], datetime]) -> None:
        self._orchestrator = orchestrator
        self._now = now

    async def begin(self, step: Step, about: Submission, began_at: datetime) -> Saga | None:
        """A submission was prepared, and its command follows. None: another call of the same request logs it."""
        saga = Saga(
            id=step.saga_id,
            name=FORM_SUBMISSION.name,
            created_at=began_at,
            instance_id=about.process_instance_id,
            definition_key=about.process_definition_id.partition(":")[0],
            task_id=about.task_id,
            tenant_id=about.tenant_id,
            plan=FORM_SUBMISSION.plan(),
            data={
                "form_definition_id": about.form_definition_id,
                "task_id": about.task_id,
                "process_instance_id": about.process_instance_id,
                "process_definition_id": about.process_definition_id,
                "outcome": about.outcome,
                "user_id": about.user_id,
            },
        )
        return saga if await self._orchestrator.begin(saga, began_at, [{}]) else None

    async def done(self, saga: Saga, instance_id: str) -> bool:
        """The command was committed; False if the saga was taken from us meanwhile, so that nobody will confirm."""
        if instance_id:
            saga.instance_id = instance_id
            saga.data = {**saga.data, "process_instance_id": instance_id}
        return await self._orchestrator.go_on(saga)

    async def refused(self, saga: Saga, why: str) -> bool:
        """The command was refused; False if the saga was taken from us meanwhile."""
        return await self._orchestrator.go_on(saga, why)


class SubmissionSteps:
    """A `Performer` of the steps of the service of forms."""

    def __init__(self, forms: Forms, was_committed: WasCommitted) -> None:
        self._forms = forms
        self._was_committed = was_committed

    async def perform(self, call: StepCall) -> StepAnswer:
        """Confirm, discard, or tell what became of a caller's command. Raises StepRefused, Unavailable."""
        step = Step(call.saga_id, STEP)
        try:
            if call.action == COMPENSATE:
                await self._forms.discard(step)
                return StepAnswer()
            if call.step_name == CONFIRM:
                await self._forms.confirm(step, str(call.data.get("process_instance_id", "")))
                return StepAnswer()
            if call.step_name == SUBMIT and call.step_id == SUBMIT:
                return await self._look(call)
        except _FINAL as refused:
            raise StepRefused(refused.message) from refused
        assert call.step_name in (PREPARE, SUBMIT), f"expected a step of the saga, found {call.step_name}"
        raise StepRefused("expected whoever submits to submit again: a submission is not done anew without them")

    async def _look(self, call: StepCall) -> StepAnswer:
        committed, instance_id = await self._was_committed(call.saga_id, str(call.data.get("task_id", "")))
        if not committed:
            raise StepRefused("expected the command to be committed, found its caller gone without it")
        result: dict[str, Any] = {"process_instance_id": instance_id} if instance_id else {}
        return StepAnswer(result=result)
