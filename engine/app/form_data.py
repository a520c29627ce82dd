"""Forms of tasks and start events: shown with present values, and form properties submitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.form_context import Evaluation, context_of
from engine.app.form_models import rendered
from engine.app.form_properties import ShownProperty, shown, submitted
from engine.app.forms import FormInfo, Forms, SubmittedForm
from engine.app.queries import NamedVariable, ProcessDefinitionView, TaskView
from engine.app.standalone import TaskCommands
from engine.app.starting import StartAsk, Started, Starting
from engine.kernel import commands as cmd
from engine.kernel.definition import Definition, Node
from engine.kernel.form_properties import FormProperty
from mesh.errors import FailedPrecondition, NotFound


class FormQueries(Protocol):
    """What forms read of tasks and definitions: what whoever asks sees of them."""

    async def get_process_definition(self, process_definition_id: str) -> ProcessDefinitionView:
        """Raises NotFound."""
        ...

    async def get_task(self, task_id: str) -> TaskView:
        """Raises NotFound."""
        ...

    async def list_task_variables(self, task_id: str, scope: str = "") -> Sequence[NamedVariable]:
        """By name; a local one hides a global one of its name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FormData:
    """The form properties of a task or a start event; `task_id` is empty for the latter."""

    form_key: str
    deployment_id: str
    process_definition_id: str
    task_id: str
    properties: Sequence[ShownProperty]


class FormDataOf:
    """Shows forms, and submits form properties."""

    def __init__(
        self,
        queries: FormQueries,
        compiled: Callable[[str], Definition],
        tasks: TaskCommands,
        starting: Starting,
        forms: Forms | None,
        now: Callable[[], datetime],
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`compiled` loads a definition, blocking. Without `forms` there are form properties only.

        `rights` bind whoever asks for what was submitted.
        """
        self._rights = rights
        self._queries = queries
        self._compiled = compiled
        self._tasks = tasks
        self._starting = starting
        self._forms = forms
        self._now = now

    # --- form properties ----------------------------------------------------------------------------------------------

    async def of_task(self, task_id: str) -> FormData:
        """Return a task's form properties. Raises NotFound."""
        task = await self._queries.get_task(task_id)
        definition, node = await self._place(task)
        variables = await self._queries.list_task_variables(task_id)
        return FormData(
            form_key=task.form_key,
            deployment_id=definition.deployment_id if definition is not None else "",
            process_definition_id=task.process_definition_id,
            task_id=task.id,
            properties=await self._shown(node, variables, task),
        )

    async def of_start(self, process_definition_id: str) -> FormData:
        """Return the form properties of a definition's start event. Raises NotFound."""
        definition = await self._definition(process_definition_id)
        start = start_of(definition)
        return FormData(
            form_key=form_key_of(start),
            deployment_id=definition.deployment_id,
            process_definition_id=definition.id,
            task_id="",
            properties=await self._shown(start),
        )

    async def submit_to_task(self, task_id: str, given: Mapping[str, Any], user_id: str, request_id: str) -> None:
        """Complete a task with form properties. Raises InvalidArgument with all faults, NotFound, Refused."""
        if await self._tasks.was_answered(request_id):
            return
        task = await self._queries.get_task(task_id)
        _, node = await self._place(task)
        variables = await self._queries.list_task_variables(task_id)
        context = context_of(variables, self._now(), task)
        found = await asyncio.to_thread(submitted, _properties(node), given, context)
        command = cmd.CompleteTask(user_id=user_id, task_id=task_id, variables=found)
        await self._tasks.submit(command, request_id=request_id)

    async def submit_to_start(self, ask: StartAsk, given: Mapping[str, Any]) -> Started:
        """Start an instance with form properties. Raises InvalidArgument with all faults, NotFound, Refused."""
        definition = await self._definition(ask.definition_id)
        context = context_of((), self._now())
        found = await asyncio.to_thread(submitted, _properties(start_of(definition)), given, context)
        return await self._starting.start(_with_variables(ask, found))

    # --- form definitions ---------------------------------------------------------------------------------------------

    async def task_form(self, task_id: str) -> dict[str, Any]:
        """Return the form of a task's form key with present values. Raises NotFound, FailedPrecondition."""
        forms = self._service()
        task = await self._queries.get_task(task_id)
        if not task.form_key:
            raise _no_form_key(f"task {task_id}")
        definition, _ = await self._place(task)
        form = await forms.by_key(
            task.form_key,
            tenant_id=task.tenant_id,
            deployment_id=definition.deployment_id if definition is not None else "",
        )
        variables = await self._queries.list_task_variables(task_id)
        context = context_of(variables, self._now(), task)
        return await asyncio.to_thread(rendered, form, context.variables, Evaluation(context))

    async def start_form(self, process_definition_id: str) -> dict[str, Any]:
        """Return the form of a definition's start event. Raises NotFound, FailedPrecondition."""
        forms = self._service()
        definition = await self._definition(process_definition_id)
        key = form_key_of(start_of(definition))
        if not key:
            raise _no_form_key(f"the start event of {process_definition_id}")
        form = await forms.by_key(key, tenant_id=definition.tenant_id, deployment_id=definition.deployment_id)
        return await asyncio.to_thread(rendered, form, {}, Evaluation(context_of((), self._now())))

    async def forms_of(self, process_definition_id: str) -> list[FormInfo]:
        """Return the forms that a definition's elements name, each once, in the order of the model.

        Raises NotFound, FailedPrecondition.
        """
        definition = await self._definition(process_definition_id)
        keys = dict.fromkeys(key for node in definition.nodes.values() if (key := form_key_of(node)))
        # Which form an expression means depends on the instance.
        fixed = [key for key in keys if "${" not in key and "#{" not in key]
        if not fixed:
            return []
        forms = self._service()
        found = []
        for key in fixed:
            try:
                form = await forms.by_key(key, tenant_id=definition.tenant_id, deployment_id=definition.deployment_id)
            except NotFound:
                continue
            found.append(form)
        return found

    async def submitted_form(self, task_id: str) -> dict[str, Any]:
        """Return the form that a task was completed with, as it was submitted. Raises NotFound, FailedPrecondition."""
        forms = self._service()
        found = await forms.submitted_with(task_id)
        if found is None or not self._may_see(found):
            message = f"expected a form that task '{task_id}' was completed with, found none"
            raise NotFound("submission-not-found", message, task_id=task_id)
        form = await forms.by_id(found.form_definition_id)
        evaluation = Evaluation(context_of((), self._now(), submitted=found.values))
        model = await asyncio.to_thread(rendered, form, found.values, evaluation)
        if found.outcome:
            model["selectedOutcome"] = found.outcome
        if found.submitted_by:
            model["submittedBy"] = found.submitted_by
        return model

    async def _shown(
        self, node: Node | None, variables: Sequence[NamedVariable] = (), task: TaskView | None = None
    ) -> list[ShownProperty]:
        """The readable properties of an element. In a thread, as all evaluation here: models are not always kind."""
        return await asyncio.to_thread(shown, _properties(node), context_of(variables, self._now(), task))

    def _may_see(self, found: SubmittedForm) -> bool:
        """The task is gone; what is left of whose it was is who submitted it, and in which tenant."""
        rights = self._rights()
        if rights is None:
            return True
        return rights.sees(found.tenant_id) and (not rights.own_tasks or found.submitted_by == rights.user_id)

    async def _definition(self, process_definition_id: str) -> Definition:
        """A definition that whoever asks sees."""
        await self._queries.get_process_definition(process_definition_id)
        return await asyncio.to_thread(self._compiled, process_definition_id)

    def _service(self) -> Forms:
        if self._forms is None:
            raise no_forms_service()
        return self._forms

    async def _place(self, task: TaskView) -> tuple[Definition | None, Node | None]:
        """The definition and the element of a task; None for a standalone one."""
        if not task.process_definition_id:
            return None, None
        definition = await asyncio.to_thread(self._compiled, task.process_definition_id)
        return definition, definition.nodes.get(task.task_definition_key)


def start_of(definition: Definition) -> Node | None:
    """The start event whose form a definition has: the none start, else the first one."""
    return definition.process.start or next(iter(definition.starts), None)


def form_key_of(node: Node | None) -> str:
    """The form key of an element as it was written; empty where it has none."""
    found = getattr(node.props, "form_key", "") if node is not None else ""
    if isinstance(found, str) and found:
        return found
    raw = getattr(node.props, "raw", None) if node is not None else None
    return str(raw.get("formKey", "")) if raw else ""


def no_forms_service() -> FailedPrecondition:
    """The refusal of what needs the forms service where there is none."""
    return FailedPrecondition("forms-not-configured", "expected a forms service, found none configured for the engine")


def _properties(node: Node | None) -> Sequence[FormProperty]:
    return getattr(node.props, "form_properties", ()) if node is not None else ()


def _with_variables(ask: StartAsk, variables: Mapping[str, Any]) -> StartAsk:
    return replace(ask, variables={**ask.variables, **variables})


def _no_form_key(what: str) -> NotFound:
    return NotFound("form-key-not-found", f"expected a form key of {what}, found none")
