"""Refusals: what a service answers when a request cannot be done, in words that do not know the transport.

    DomainError
    ├── InvalidArgument     the request is wrong whatever the state is
    ├── OutOfRange          a position beyond the end (page, index)
    ├── Unauthenticated     nobody knows who asks
    ├── PermissionDenied    it is known who asks, and they may not
    ├── NotFound            what the request names does not exist
    ├── AlreadyExists       what the request creates is there already
    ├── FailedPrecondition  it exists, but not in a state in which this can be done
    ├── Aborted             somebody else was faster; asking anew may succeed
    ├── ResourceExhausted   a named limit is reached
    ├── Unavailable         a part that we need is away; asking again later may succeed
    └── Unimplemented       known, but not offered here

One table, in `mesh.rpc_errors`, says how these travel over gRPC. Anything that is not a `DomainError` is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import ClassVar


class Status(Enum):
    """Kinds of refusal; the names are those of the canonical gRPC codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong. `field` is its path as in the contract, such as `variables[2].value`."""

    field: str
    description: str


class DomainError(Exception):
    """A refused request. Raise one of the subclasses, never this class.

    `reason` is kebab-case and stable: clients branch on it. `message` says what was expected and what was found.
    `facts` are the values behind the message, each turned into text. `violations` name the wrong fields of the request.
    `retry_after_seconds` tells the caller how long to wait before asking again; absent means that it is not known.
    """

    status: ClassVar[Status]

    def __init__(
        self,
        reason: str,
        message: str,
        /,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after_seconds: float | None = None,
        **facts: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.facts: Mapping[str, str] = MappingProxyType({name: str(value) for name, value in facts.items()})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason!r}, {self.message!r}, facts={dict(self.facts)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (scripts run in worker processes); the default would lose the keywords.
        return _rebuild, (
            type(self),
            self.reason,
            self.message,
            self.violations,
            self.retry_after_seconds,
            dict(self.facts),
        )


def _rebuild(
    kind: type[DomainError],
    reason: str,
    message: str,
    violations: tuple[FieldViolation, ...],
    retry_after_seconds: float | None,
    facts: dict[str, str],
) -> DomainError:
    return kind(reason, message, violations=violations, retry_after_seconds=retry_after_seconds, **facts)


class InvalidArgument(DomainError):
    """The request is wrong whatever the state of the system is."""

    status = Status.INVALID_ARGUMENT


class OutOfRange(DomainError):
    """The request asks for a position beyond the end."""

    status = Status.OUT_OF_RANGE


class Unauthenticated(DomainError):
    """The caller gave no valid credentials."""

    status = Status.UNAUTHENTICATED


class PermissionDenied(DomainError):
    """The caller is known and may not do this."""

    status = Status.PERMISSION_DENIED


class NotFound(DomainError):
    """What the request names does not exist, or not for this caller."""

    status = Status.NOT_FOUND


class AlreadyExists(DomainError):
    """What the request creates is there already."""

    status = Status.ALREADY_EXISTS


class FailedPrecondition(DomainError):
    """The thing exists, but is not in a state in which this can be done."""

    status = Status.FAILED_PRECONDITION


class Aborted(DomainError):
    """The request lost against another one; asking anew, from the start, may succeed."""

    status = Status.ABORTED


class ResourceExhausted(DomainError):
    """A named limit is reached; the message names it and the setting that moves it."""

    status = Status.RESOURCE_EXHAUSTED


class Unavailable(DomainError):
    """A part that is needed is away; the same request may succeed later."""

    status = Status.UNAVAILABLE


class Unimplemented(DomainError):
    """What is asked for is known but not offered here."""

    status = Status.UNIMPLEMENTED
