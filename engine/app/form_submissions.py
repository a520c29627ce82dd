"""Submitting a form and completing its task, or starting an instance, as one: the saga `form-submission`.

    prepare (forms checks and keeps)  →  the command in the group commit  →  confirm
                                         refused: discard

The commit of the command decides. It carries the saga's id as its request id, so what became of it can be asked for at
any later time: whoever finds a submission that was prepared and never settled asks, and confirms or discards. A call
that is repeated with its request id runs the same saga again, and every step finds that it was done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from engine.app.definitions import StartTarget
from engine.app.form_context import Evaluation, FormContext, context_of
from engine.app.form_data import FormQueries, form_key_of, no_forms_service, start_of
from engine.app.form_models import field_states, plain, writable_values
from engine.app.forms import FormInfo, Forms, Step, Submission
from engine.app.repository import Commands
from engine.app.sagas.state import Saga
from engine.app.sagas.submissions import STEP, SubmissionSagas
from engine.app.standalone import TaskCommands, request_part
from engine.app.starting import StartAsk, Started, Starting, StartingDefinitions
from engine.app.submitting import first_answer
from engine.kernel import commands as cmd
from engine.kernel.definition import Definition
from engine.kernel.errors import Refused
from engine.kernel.values import STRING, Variable
from mesh.errors import DomainError, FailedPrecondition, NotFound, Unavailable

T = TypeVar("T")
Prepared: TypeAlias = tuple[Submission, dict[str, Variable]]
"""What was submitted, and what the process gets of it."""
_LOGGER: Final = logging.getLogger(__name__)

SAGA: Final = "form-submission"
MAX_SAGA_ID: Final = 64
MAX_ATTEMPTS: Final = 8
"""Sagas that one request may begin: each but the last was refused by the engine and discarded."""
DISCARDED: Final = "submission-discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSubmission:
    """A task that is completed with a form. `values` are variables by field id."""

    task_id: str
    form_definition_id: str
    outcome: str = ""
    values: Mapping[str, Variable]
    transient_variables: dict[str, Variable]
    user_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSubmission:
    """A start with what was written into the start form."""

    ask: StartAsk
    values: Mapping[str, Variable]
    outcome: str = ""


class FormSubmissions:
    """Completes tasks and starts instances with forms."""

    def __init__(
        self,
        forms: Forms | None,
        queries: FormQueries,
        tasks: TaskCommands,
        commands: Commands,
        starting: Starting,
        definitions: StartingDefinitions,
        compiled: Callable[[str], Definition],
        sagas: SubmissionSagas,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        """`compiled` loads a definition, blocking. Without `forms`, start forms' values are plain variables."""
        self._forms = forms
        self._queries = queries
        self._tasks = tasks
        self._commands = commands
        self._starting = starting
        self._definitions = definitions
        self._compiled = compiled
        self._sagas = sagas
        self._now = now
        self._new_id = new_id

    async def complete(self, ask: TaskSubmission) -> None:
        """Complete a task with a form.

        Raises NotFound, InvalidArgument with the faults of all fields, Refused as the completion, Unavailable.
        """
        forms = self._service()

        async def prepare(step: Step) -> Prepared:
            submission = await self._of_task(forms, ask)
            return submission, await forms.prepare(step, submission)

        async def carry_out(step: Step, variables: dict[str, Variable]) -> None:
            command = cmd.CompleteTask(
                user_id=ask.user_id,
                task_id=ask.task_id,
                variables=variables,
                transient_variables=ask.transient_variables,
            )
            await self._tasks.submit(command, request_id=step.saga_id)

        async def was_done(step: Step) -> bool:
            return await self._tasks.was_answered(step.saga_id)

        await self._run(ask.request_id, prepare, carry_out, lambda _: "", was_done)

    async def start(self, submission: StartSubmission) -> Started:
        """Start an instance with its start form, if its start event names one that there is; else with variables.

        Raises as `Starting.start`; InvalidArgument with the faults of all fields, Unavailable.
        """
        ask = submission.ask
        found = await self._start_form(ask)
        if found is None:
            return await self._starting.start(plainly(submission))
        definition, form = found
        forms = self._service()

        async def prepare(step: Step) -> Prepared:
            about = await self._of_start(submission, definition, form)
            return about, await forms.prepare(step, about)

        async def carry_out(step: Step, variables: dict[str, Variable]) -> Started:
            filled = replace(
                ask,
                definition_id=definition.id,
                key="",
                message="",
                version=None,
                variables={**ask.variables, **variables},
                request_id=step.saga_id,
            )
            # A message names its own start event.
            return await self._starting.start(
                replace(filled, definition_id="", message=ask.message) if ask.message else filled
            )

        return await self._run(ask.request_id, prepare, carry_out, lambda started: started.view.id)

    # --- settling -----------------------------------------------------------------------------------------------------

    async def settle(self, step: Step, task_id: str) -> None:
        """Confirm or discard a submission of which nobody knows, by what became of its command."""
        forms = self._service()
        done, instance_id = await self.was_committed(step.saga_id, task_id)
        if done:
            await forms.confirm(step, instance_id)
        else:
            await forms.discard(step)

    async def was_committed(self, saga_id: str, task_id: str) -> tuple[bool, str]:
        """Tell whether a saga's command was committed, and the instance that it started; of a start without a task."""
        if task_id:
            return await self._tasks.was_answered(saga_id), ""
        answer = await first_answer(self._commands, saga_id)
        return answer is not None, str((answer or {}).get("process_instance_id", ""))

    # --- the saga -----------------------------------------------------------------------------------------------------

    async def _run(
        self,
        request_id: str,
        prepare: Callable[[Step], Awaitable[Prepared]],
        carry_out: Callable[[Step, dict[str, Variable]], Awaitable[T]],
        instance_of: Callable[[T], str],
        was_done: Callable[[Step], Awaitable[bool]] | None = None,
    ) -> T:
        forms = self._service()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            step = self._step(request_id, attempt)
            began_at = self._now()
            saga: Saga | None = None
            try:
                about, variables = await prepare(step)
            except FailedPrecondition as refused:
                if refused.reason != DISCARDED:
                    raise
                continue
            except NotFound:
                done = await self._done_before(request_id, was_done)
                if done is None:
                    raise
                step, variables = done, {}
            else:
                saga = await self._sagas.begin(step, about, began_at)
            answer = await self._carry_out(forms, step, variables, carry_out, saga)
            if saga is None or not await self._sagas.done(saga, instance_of(answer)):
                await self._confirm(forms, step, instance_of(answer))
            return answer
        raise FailedPrecondition(
            DISCARDED,
            f"expected at most {MAX_ATTEMPTS} attempts of one request (limit: MAX_ATTEMPTS), found all were refused",
        )

    async def _done_before(self, request_id: str, was_done: Callable[[Step], Awaitable[bool]] | None) -> Step | None:
        """The step in which this request took the task that is gone now; None if it did not."""
        if not request_id or was_done is None:
            return None
        for attempt in range(1, MAX_ATTEMPTS + 1):
            step = self._step(request_id, attempt)
            if await was_done(step):
                return step
        return None

    async def _carry_out(
        self,
        forms: Forms,
        step: Step,
        variables: dict[str, Variable],
        carry_out: Callable[[Step, dict[str, Variable]], Awaitable[T]],
        saga: Saga | None,
    ) -> T:
        try:
            return await carry_out(step, variables)
        except (Refused, DomainError) as refused:
            # Whether something was committed is not known if the database was away: it is asked for later.
            is_known = not isinstance(refused, Unavailable)
            if is_known and (saga is None or not await self._sagas.refused(saga, refused.message)):
                await self._discard(forms, step)
            raise

    async def _confirm(self, forms: Forms, step: Step, instance_id: str) -> None:
        """The task is done whatever happens here; what is not confirmed now is settled later."""
        try:
            await forms.confirm(step, instance_id)
        except DomainError as failed:
            _LOGGER.warning("submission %s is not confirmed yet: %s", step.saga_id, failed.message)

    async def _discard(self, forms: Forms, step: Step) -> None:
        """The refusal is the answer; what is not discarded now is settled later."""
        try:
            await forms.discard(step)
        except DomainError as failed:
            _LOGGER.warning("submission %s is not discarded yet: %s", step.saga_id, failed.message)

    def _step(self, request_id: str, attempt: int) -> Step:
        # The beginning of a hash is as unique, and an id of the engine has at most 64 characters.
        saga_id = request_part(request_id, f"{SAGA}-{attempt}")[:MAX_SAGA_ID] or f"{SAGA}-{self._new_id()}"
        return Step(saga_id, STEP)

    def _service(self) -> Forms:
        if self._forms is None:
            raise no_forms_service()
        return self._forms

    # --- what is submitted --------------------------------------------------------------------------------------------

    async def _of_task(self, forms: Forms, ask: TaskSubmission) -> Submission:
        task = await self._queries.get_task(ask.task_id)
        variables = await self._queries.list_task_variables(ask.task_id)
        form = await forms.by_id(ask.form_definition_id)
        given = {name: variable.value for name, variable in ask.values.items()}
        present = context_of(variables, self._now(), task)
        with_given = context_of(variables, self._now(), task, given)
        return replace(
            await asyncio.to_thread(_submission, form, given, present, with_given),
            outcome=ask.outcome,
            tenant_id=task.tenant_id,
            task_id=task.id,
            process_instance_id=task.process_instance_id,
            process_definition_id=task.process_definition_id,
            user_id=ask.user_id or task.assignee,
        )

    async def _of_start(self, submission: StartSubmission, definition: Definition, form: FormInfo) -> Submission:
        given = {name: variable.value for name, variable in submission.values.items()}
        others = {name: variable.value for name, variable in submission.ask.variables.items()}
        present = context_of((), self._now(), submitted=others)
        with_given = context_of((), self._now(), submitted={**others, **given})
        return replace(
            await asyncio.to_thread(_submission, form, given, present, with_given),
            outcome=submission.outcome,
            tenant_id=submission.ask.override_tenant_id or definition.tenant_id,
            process_definition_id=definition.id,
            user_id=submission.ask.user_id,
        )

    async def _start_form(self, ask: StartAsk) -> tuple[Definition, FormInfo] | None:
        """The definition that is started and its start form; None where it has none, or nobody knows it."""
        if self._forms is None:
            return None
        target: StartTarget = await self._definitions.resolve_start(
            definition_id=ask.definition_id,
            key=ask.key,
            message=ask.message,
            version=ask.version,
            tenant_id=ask.tenant_id,
        )
        # Before anything is said of its form.
        await self._queries.get_process_definition(target.definition_id)
        definition = await asyncio.to_thread(self._compiled, target.definition_id)
        start = definition.nodes.get(target.element_id) if target.element_id else start_of(definition)
        key = form_key_of(start)
        if not key:
            return None
        try:
            form = await self._forms.by_key(key, tenant_id=definition.tenant_id, deployment_id=definition.deployment_id)
        except NotFound:
            # A key may mean a form that somebody else keeps: what is submitted are variables then.
            return None
        return definition, form


def _submission(form: FormInfo, given: Mapping[str, Any], present: FormContext, with_given: FormContext) -> Submission:
    """What is submitted: conditions see what is given, read-only fields what was there before."""
    json = {name: plain(value) for name, value in given.items()}
    return Submission(
        form_definition_id=form.id,
        values=writable_values(form, json, present.variables, Evaluation(present)),
        states=field_states(form, Evaluation(with_given)),
    )


def plainly(submission: StartSubmission) -> StartAsk:
    """Return the start without a form that we know: its fields become variables, and so does the outcome."""
    variables = {**submission.ask.variables, **submission.values}
    if submission.outcome:
        variables["outcome"] = Variable(STRING, submission.outcome)
    return replace(submission.ask, variables=variables)
