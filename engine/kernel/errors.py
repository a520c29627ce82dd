"""How a command can be refused, and what the kernel needs before it can decide.

A refusal is an answer to the caller (status and reason); `BpmnError` is a business error that a model may catch;
`Missing…` tells the caller of `decide` to load something and ask again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NOT_FOUND: Final = "NOT_FOUND"
INVALID_ARGUMENT: Final = "INVALID_ARGUMENT"
FAILED_PRECONDITION: Final = "FAILED_PRECONDITION"
ALREADY_EXISTS: Final = "ALREADY_EXISTS"
PERMISSION_DENIED: Final = "PERMISSION_DENIED"
RESOURCE_EXHAUSTED: Final = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a call activity names: the key's definition in that deployment, if given and there; else the tenant's
    latest version; else, with `or_shared`, the latest one of no tenant (Flowable's order)."""

    key: str
    tenant_id: str = ""
    deployment_id: str = ""
    or_shared: bool = False


class Refused(Exception):
    """A command that the kernel does not carry out.

    `status` is a canonical gRPC code name, `reason` a stable kebab-case word, `facts` the details by name.
    """

    def __init__(self, status: str, reason: str, message: str, **facts: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.facts = facts


def not_found(reason: str, message: str, **facts: str) -> Refused:
    return Refused(NOT_FOUND, reason, message, **facts)


def invalid(reason: str, message: str, **facts: str) -> Refused:
    return Refused(INVALID_ARGUMENT, reason, message, **facts)


def request_id_reused(request_id: str, first: str, now: str) -> Refused:
    return invalid(
        "request-id-reused",
        f"expected request_id '{request_id}' to be new for '{now}', found another request answered by it: '{first}'",
        request_id=request_id,
    )


def failed(reason: str, message: str, **facts: str) -> Refused:
    return Refused(FAILED_PRECONDITION, reason, message, **facts)


class BpmnError(Exception):
    """A business error on its way to the nearest handler (BPMN 2.0, 10.5.1 error events).

    `variables` are what it carries besides its code and message, for handlers that map them.
    """

    def __init__(self, code: str, message: str = "", variables: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.variables = dict(variables or {})


class Diverted(Exception):
    """What was going on has been cancelled by the handler of a BPMN error; the present step has nothing more to do."""


class MissingDefinition(Exception):
    """The kernel needs a definition that its environment has not loaded: by id, or the one that a call names."""

    def __init__(self, *, definition_id: str = "", called: Called | None = None) -> None:
        super().__init__(definition_id or (called.key if called is not None else ""))
        self.definition_id = definition_id
        self.called = called


class MissingVariables(Exception):
    """The kernel reads a leaf scope whose variables were left in the database; load the whole tree and ask again."""

    def __init__(self, scope_id: str) -> None:
        super().__init__(scope_id)
        self.scope_id = scope_id


class MissingTasks(Exception):
    """The kernel needs a task that the command did not name and that was left in the database; load all of the tree."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id
