"""User task: work for a person. Waits until the task is completed (BPMN 2.0, 10.2.3; attributes as Flowable's)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Any, Final

from engine.kernel import events as ev
from engine.kernel.definition import ElementKind, Family
from engine.kernel.durations import parse_duration, parse_moment
from engine.kernel.expression import Expression, ExpressionError
from engine.kernel.form_properties import FormProperty, read_form_properties
from engine.kernel.here import Here, to_text
from engine.kernel.listeners import ALL, ASSIGNMENT, CREATE, TASK_EVENTS, Listener, read_listeners, run
from engine.kernel.reading import Reader, Source
from engine.kernel.state import Task

DEFAULT_PRIORITY: Final = 50
_ANY_TIME: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomLinks:
    """People that a task has links of a type of its own to (Flowable's `customResource`)."""

    kind: str
    users: tuple[Expression, ...]
    groups: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTask:
    """What a user task says of its task; each an expression or plain text."""

    name: Expression | None = None
    description: Expression | None = None
    assignee: Expression | None = None
    owner: Expression | None = None
    candidate_users: tuple[Expression, ...] = ()
    candidate_groups: tuple[Expression, ...] = ()
    custom_links: tuple[CustomLinks, ...] = ()
    due_date: Expression | None = None
    priority: Expression | None = None
    category: Expression | None = None
    form_key: Expression | None = None
    task_id_variable: str = ""
    completer_variable: str = ""
    listeners: tuple[Listener, ...] = ()
    form_properties: tuple[FormProperty, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)

    def texts(self, here: Here) -> dict[str, str]:
        """What a task says of itself, by field of `state.Task`."""
        return {
            "name": _text(here, self.name, self.raw["name"]),
            "description": _text(here, self.description, self.raw["description"]),
            "category": _text(here, self.category, self.raw["category"]),
            "form_key": _text(here, self.form_key, self.raw["formKey"]),
        }


def _read(source: Source, reader: Reader) -> UserTask:
    extension = source.extension

    def read(name: str, text: str | None = None) -> Expression | None:
        return reader.expression(source, extension.get(name) if text is None else text, name)

    users, groups = _named(source.all("potentialOwner"))
    performer = _resource_text(source, "humanPerformer")
    name = source.attributes.get("name", "")
    documentation = source.text_of("documentation")
    due_date, priority = read("dueDate"), read("priority")
    _check_literals(source, reader, due_date, priority)
    return UserTask(
        name=_lenient(name, reader, source),
        description=_lenient(documentation, reader, source),
        assignee=read("assignee", extension.get("assignee") or performer or None),
        owner=read("owner"),
        candidate_users=_list(source, reader, extension.get("candidateUsers", ""), users),
        candidate_groups=_list(source, reader, extension.get("candidateGroups", ""), groups),
        custom_links=tuple(_custom_links(source, reader)),
        due_date=due_date,
        priority=priority,
        category=_lenient(extension.get("category", ""), reader, source),
        form_key=_lenient(extension.get("formKey", ""), reader, source),
        task_id_variable=extension.get("taskIdVariableName", ""),
        completer_variable=extension.get("taskCompleterVariableName", ""),
        listeners=read_listeners(source, reader, "taskListener", TASK_EVENTS, ALL),
        form_properties=read_form_properties(source, reader),
        raw={
            "name": name,
            "description": documentation,
            "category": extension.get("category", ""),
            "formKey": extension.get("formKey", ""),
        },
    )


def _check_literals(source: Source, reader: Reader, due_date: Expression | None, priority: Expression | None) -> None:
    """What is no expression would fail each time, so it fails now."""
    if priority is not None and priority.is_literal:
        try:
            int(priority.text)
        except ValueError:
            reader.problem(source, f"expected the priority to be a whole number, found '{priority.text}'")
    if due_date is not None and due_date.is_literal:
        try:
            _due_of_text(due_date.text, _ANY_TIME)
        except ValueError as error:
            reader.problem(source, f"the due date: {error}")


def _lenient(text: str, reader: Reader, source: Source) -> Expression | None:
    """Name, description, category and form key may hold text that only looks like an expression."""
    return reader.expression(source, text, "text") if "${" in text or "#{" in text else None


def _list(source: Source, reader: Reader, text: str, more: list[str]) -> tuple[Expression, ...]:
    parts = [*split_list(text), *more]
    return tuple(e for e in (reader.expression(source, part, "candidates") for part in parts) if e is not None)


def split_list(text: str) -> list[str]:
    """Split at commas outside of `${…}` and brackets."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += character in "{("
        depth -= character in "})"
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def _resource_text(source: Source, tag: str) -> str:
    for found in source.all(tag):
        assignment = found.child("resourceAssignmentExpression")
        if assignment is not None:
            return assignment.text_of("formalExpression")
    return ""


def _custom_links(source: Source, reader: Reader) -> Iterator[CustomLinks]:
    for resource in source.extensions("customResource"):
        kind = (resource.extension.get("name") or resource.attributes.get("name", "")).strip()
        if not kind:
            reader.problem(source, "expected a name on the customResource, found none")
            continue
        users, groups = _named((resource,))
        yield CustomLinks(kind=kind, users=_list(source, reader, "", users), groups=_list(source, reader, "", groups))


def _named(resources: Iterable[Source]) -> tuple[list[str], list[str]]:
    """Resources name users as user(kermit), groups as group(sales) or bare (Flowable's syntax)."""
    users: list[str] = []
    groups: list[str] = []
    for resource in resources:
        assignment = resource.child("resourceAssignmentExpression")
        for part in split_list(assignment.text_of("formalExpression") if assignment is not None else ""):
            if part.startswith("user(") and part.endswith(")"):
                users.append(part[5:-1].strip())
            elif part.startswith("group(") and part.endswith(")"):
                groups.append(part[6:-1].strip())
            else:
                groups.append(part)
    return users, groups


def _enter(here: Here) -> None:
    props: UserTask = here.node.props
    task_id = here.turn.env.new_id()
    here.emit(
        ev.TaskCreated(
            instance_id=here.instance.id,
            task_id=task_id,
            execution_id=here.execution.id,
            element_id=here.node.id,
            at=here.now,
            assignee=here.text(props.assignee),
            owner=here.text(props.owner),
            priority=_priority(here, props.priority),
            due_at=_due(here, props.due_date),
            tenant_id=here.instance.tenant_id,
            definition_id=here.instance.definition_id,
            **props.texts(here),
        )
    )
    candidates = CustomLinks(kind="candidate", users=props.candidate_users, groups=props.candidate_groups)
    for links in (candidates, *props.custom_links):
        for group in _people(here, links.groups):
            _link(here, task_id, links.kind, group_id=group)
        for user in _people(here, links.users):
            _link(here, task_id, links.kind, user_id=user)
    if props.task_id_variable:
        here.set_variable(props.task_id_variable, task_id)
    if props.listeners:
        _tell(here, props.listeners, here.turn.tree.tasks[task_id])


def _tell(here: Here, found: tuple[Listener, ...], task: Task) -> None:
    """Those of the assignment hear of it before those of the creation (Flowable)."""
    if task.assignee:
        run(found, ASSIGNMENT, here, task)
    run(found, CREATE, here, task)


def _text(here: Here, expression: Expression | None, raw: str) -> str:
    """Text whose expression fails stays as it was written (Flowable logs and goes on)."""
    if expression is None:
        return raw
    try:
        return to_text(expression.evaluate(here.context()))
    except ExpressionError:
        return raw


def _priority(here: Here, expression: Expression | None) -> int:
    value = here.value(expression)
    if value is None:
        return DEFAULT_PRIORITY
    try:
        return int(value)
    except (TypeError, ValueError):
        raise here.refuse("bad-priority", f"expected the priority to be a whole number, found {value!r}") from None


def _due(here: Here, expression: Expression | None) -> datetime | None:
    value = here.value(expression)
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time_of_day(), tzinfo=here.now.tzinfo)
    try:
        return _due_of_text(str(value), here.now)
    except ValueError as error:
        raise here.refuse("bad-due-date", f"the due date: {error}") from None


def _due_of_text(text: str, now: datetime) -> datetime:
    return parse_duration(text).after(now) if text.startswith("P") else parse_moment(text)


def _people(here: Here, expressions: tuple[Expression, ...]) -> Iterator[str]:
    """Names from texts (comma-separated), lists and JSON arrays; each once, in order."""
    seen: set[str] = set()
    for expression in expressions:
        for name in _names(here.value(expression)):
            if name not in seen:
                seen.add(name)
                yield name


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [name for item in value for name in _names(item)]
    return split_list(to_text(value))


def _link(here: Here, task_id: str, kind: str, *, user_id: str = "", group_id: str = "") -> None:
    here.emit(
        ev.IdentityLinkAdded(
            instance_id=here.instance.id,
            link_id=here.turn.env.new_id(),
            kind=kind,
            at=here.now,
            task_id=task_id,
            user_id=user_id,
            group_id=group_id,
        )
    )


KIND: Final = ElementKind(
    tag="userTask", type="userTask", family=Family.TASK, keeps_variables=True, read=_read, enter=_enter
)
