"""Submitting a form and completing its task, or starting an instance, as one: the saga `form-submission`.

    prepare (forms checks and keeps)  →  the command in the group commit  →  confirm
                                         refused: discard

The orchestrator carries it out, and on from its log after a crash. A standalone task is no command of the group commit:
there the same three steps are done here, the saga's id being the request id of the completion, so that what became of
it can be asked for at any later time. `settle` does that for whatever was prepared and never settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.asking import RightsOfCaller
from engine.app.definitions import StartTarget
from engine.app.form_context import Evaluation, FormContext, context_of
from engine.app.form_data import FormQueries, form_key_of, no_forms_service, start_of
from engine.app.form_models import field_states, plain, writable_values
from engine.app.form_saga import NAME, Data, data_of, definition_of, instance_of, submission_step
from engine.app.forms import FormInfo, Forms, Step, Submission
from engine.app.queries import Page
from engine.app.sagas.orchestrator import Orchestrator, is_past_pivot
from engine.app.sagas.ports import SagaFilter, SagaQueries
from engine.app.sagas.state import Saga
from engine.app.standalone import TaskCommands, request_part
from engine.app.starting import StartAsk, Started, Starting, StartingDefinitions, command_of
from engine.kernel import commands as cmd
from engine.kernel.definition import Definition
from engine.kernel.errors import Refused
from engine.kernel.values import STRING, Variable
from mesh.errors import DomainError, FailedPrecondition, NotFound, Unavailable

_LOGGER: Final = logging.getLogger(__name__)

OWN: Final = "standalone-form-submission"
"""How the ids of sagas begin that are carried out here."""
STEP: Final = "submission"
MAX_ATTEMPTS: Final = 8
"""Sagas that one request may begin: each but the last was refused by the engine and discarded."""
MAX_SAGAS_OF_TASK: Final = 100
"""Submissions of one task that are looked through for that of a repeated request, the latest first."""
DISCARDED: Final = "submission-discarded"
COMPENSATED: Final = "saga-compensated"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaNeed:
    """Who carries sagas out, and where they are read."""

    orchestrator: Orchestrator
    queries: SagaQueries


class FormSubmissions:
    """Completes tasks and starts instances with forms."""

    def __init__(
        self,
        forms: Forms | None,
        sagas: SagaNeed,
        queries: FormQueries,
        tasks: TaskCommands,
        starting: Starting,
        definitions: StartingDefinitions,
        compiled: Callable[[str], Definition],
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        rights: RightsOfCaller,
    ) -> None:
        """`compiled` loads a definition, blocking. Without `forms`, start forms' values are plain variables.

        `rights` bind whoever asks, also where their saga is resumed when they are long gone.
        """
        self._forms = forms
        self._sagas = sagas
        self._queries = queries
        self._tasks = tasks
        self._starting = starting
        self._definitions = definitions
        self._compiled = compiled
        self._now = now
        self._new_id = new_id
        self._rights = rights

    async def complete(self, ask: TaskSubmission) -> None:
        """Complete a task with a form.

        Raises NotFound, InvalidArgument with the faults of all fields, Refused as the completion, Unavailable.
        """
        forms = self._service()
        try:
            submission = await self._of_task(forms, ask)
        except NotFound:
            # A repeated request: its task is gone because this request took it.
            if not await self._was_done(forms, ask):
                raise
            return
        command = cmd.CompleteTask(
            user_id=ask.user_id,
            task_id=ask.task_id,
            transient_variables=ask.transient_variables,
            rights=self._rights(),
        )
        if not submission.process_instance_id:
            await self._complete_standalone(forms, ask, submission, command)
            return
        # What is wrong in itself begins no saga, which would be kept as one that failed.
        await forms.validate(submission)
        saga = await self._run(
            data_of(submission, command),
            ask.request_id,
            instance_id=submission.process_instance_id,
            task_id=ask.task_id,
            tenant_id=submission.tenant_id,
        )
        await self._confirm(forms, submission_step(saga))

    async def start(self, submission: StartSubmission) -> Started:
        """Start an instance with its start form, if its start event names one that there is; else with variables.

        Raises as `Starting.start`; InvalidArgument with the faults of all fields, Unavailable.
        """
        ask = submission.ask
        found = await self._start_form(ask)
        if found is None:
            return await self._starting.start(plainly(submission))
        forms = self._service()
        target, definition, form = found
        command = msgspec.structs.replace(command_of(ask, target, self._new_id()), rights=self._rights())
        filled = self._of_start(submission, definition, form)
        await forms.validate(filled)
        saga = await self._run(
            data_of(filled, command),
            ask.request_id,
            definition_key=definition.key,
            tenant_id=ask.override_tenant_id or definition.tenant_id,
        )
        await self._confirm(forms, submission_step(saga), instance_of(saga))
        return Started(view=await self._starting.look(instance_of(saga), definition_of(saga), ask))

    async def settle(self, step: Step, task_id: str) -> None:
        """Confirm or discard a submission of which nobody knows, by what became of its command."""
        forms = self._service()
        if step.saga_id.startswith(OWN):
            done, instance_id = await self._tasks.was_answered(step.saga_id), ""
        else:
            saga = await self._saga(step.saga_id)
            if saga is not None and saga.is_open:
                return
            done = saga is not None and is_past_pivot(saga)
            instance_id = instance_of(saga) if saga is not None and not task_id else ""
        if done:
            await forms.confirm(step, instance_id)
        else:
            await forms.discard(step)

    async def _run(self, data: Data, request_id: str, **about: str) -> Saga:
        """Have the saga of a request carried out; where it was taken back before, another one."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            own_id = request_part(request_id, f"{NAME}-{attempt}")
            try:
                return await self._sagas.orchestrator.run(NAME, data, request_id=own_id, **about)
            except FailedPrecondition as refused:
                # What the engine refuses this time is raised as what it is.
                if not request_id or refused.reason != COMPENSATED or attempt == MAX_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _saga(self, saga_id: str) -> Saga | None:
        try:
            return await self._sagas.queries.get_saga(saga_id)
        except NotFound:
            return None

    async def _was_done(self, forms: Forms, ask: TaskSubmission) -> bool:
        """Tell whether this request completed the task, and confirm its submission should nobody have done so."""
        if not ask.request_id:
            return False
        step = await self._step_before(ask)
        if step is None:
            return False
        await self._confirm(forms, step)
        return True

    async def _step_before(self, ask: TaskSubmission) -> Step | None:
        wanted = SagaFilter(name=NAME, task_id=ask.task_id)
        page = Page(size=MAX_SAGAS_OF_TASK, sort="id", order="desc")
        own_ids = {request_part(ask.request_id, f"{NAME}-{attempt}") for attempt in range(1, MAX_ATTEMPTS + 1)}
        for saga in (await self._sagas.queries.list_sagas(wanted, page)).rows:
            if saga.request_id in own_ids and is_past_pivot(saga):
                return submission_step(saga)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            step = self._own_step(ask.request_id, attempt)
            if await self._tasks.was_answered(step.saga_id):
                return step
        return None

    async def _confirm(self, forms: Forms, step: Step, instance_id: str = "") -> None:
        """Have the submission count before the answer; what is not confirmed now is confirmed later."""
        try:
            await forms.confirm(step, instance_id)
        except DomainError as failed:
            _LOGGER.info("submission %s is not confirmed yet: %s", step.saga_id, failed.message)

    def _service(self) -> Forms:
        if self._forms is None:
            raise no_forms_service()
        return self._forms

    # --- standalone tasks ---------------------------------------------------------------------------------------------

    async def _complete_standalone(
        self, forms: Forms, ask: TaskSubmission, submission: Submission, command: cmd.CompleteTask
    ) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            step = self._own_step(ask.request_id, attempt)
            try:
                variables = await forms.prepare(step, submission)
            except FailedPrecondition as refused:
                if refused.reason != DISCARDED:
                    raise
                continue
            await self._carry_out(forms, step, command, variables)
            await self._confirm(forms, step)
            return
        raise FailedPrecondition(
            DISCARDED,
            f"expected at most {MAX_ATTEMPTS} attempts of one request (limit: MAX_ATTEMPTS), found all were refused",
        )

    async def _carry_out(
        self, forms: Forms, step: Step, command: cmd.CompleteTask, variables: dict[str, Variable]
    ) -> None:
        filled = msgspec.structs.replace(command, variables=variables)
        try:
            await self._tasks.submit(filled, request_id=step.saga_id)
        except (Refused, DomainError) as refused:
            # Whether something was committed is not known where the database is away: it is asked for later.
            if not isinstance(refused, Unavailable):
                await self._discard(forms, step)
            raise

    async def _discard(self, forms: Forms, step: Step) -> None:
        """The refusal is the answer; what is not discarded now is settled later."""
        try:
            await forms.discard(step)
        except DomainError as failed:
            _LOGGER.warning("submission %s is not discarded yet: %s", step.saga_id, failed.message)

    def _own_step(self, request_id: str, attempt: int) -> Step:
        return Step(request_part(request_id, f"{OWN}-{attempt}") or f"{OWN}-{self._new_id()}", STEP)

    # --- what is submitted --------------------------------------------------------------------------------------------

    async def _of_task(self, forms: Forms, ask: TaskSubmission) -> Submission:
        task = await self._queries.get_task(ask.task_id)
        variables = await self._queries.list_task_variables(ask.task_id)
        form = await forms.by_id(ask.form_definition_id)
        given = {name: variable.value for name, variable in ask.values.items()}
        present = context_of(variables, self._now(), task)
        with_given = context_of(variables, self._now(), task, given)
        return replace(
            _submission(form, given, present, with_given),
            outcome=ask.outcome,
            tenant_id=task.tenant_id,
            task_id=task.id,
            process_instance_id=task.process_instance_id,
            process_definition_id=task.process_definition_id,
            user_id=ask.user_id or task.assignee,
        )

    def _of_start(self, submission: StartSubmission, definition: Definition, form: FormInfo) -> Submission:
        given = {name: variable.value for name, variable in submission.values.items()}
        others = {name: variable.value for name, variable in submission.ask.variables.items()}
        present = context_of((), self._now(), submitted=others)
        with_given = context_of((), self._now(), submitted={**others, **given})
        return replace(
            _submission(form, given, present, with_given),
            outcome=submission.outcome,
            tenant_id=submission.ask.override_tenant_id or definition.tenant_id,
            process_definition_id=definition.id,
            user_id=submission.ask.user_id,
        )

    async def _start_form(self, ask: StartAsk) -> tuple[StartTarget, Definition, FormInfo] | None:
        """What is started and its start form; None where it has none, or nobody knows it."""
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
        return target, definition, form


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
