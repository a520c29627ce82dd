"""Jobs as executors, workers and operators see them: the values, and the ports behind which the work is done.

Two roads. A timer or an asynchronous continuation is kernel work: taken and executed in one transaction of the group
commit (`DueJobs`). Work outside (external workers, HTTP) is leased to a holder, who does it and reports by a command.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from engine.kernel.commands import Command
from engine.kernel.values import Value, Variable

ENGINE_LANE, EXTERNAL_LANE, HTTP_LANE, REPOSITORY_LANE = "engine", "external", "http", "repository"
"""Who may take a job: the group commit, a worker, the doer of requests, whoever changes definitions."""


class LeasedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that somebody holds until `until`. `token` changes with each lease and fences a former holder off.

    `variables`: what a worker needs of its instance; empty for other holders.
    """

    id: str
    root_id: str
    instance_id: str
    execution_id: str
    element_id: str
    element_name: str
    handler: str
    topic: str
    definition_id: str
    definition_key: str
    tenant_id: str
    retries: int
    error: str
    due_at: datetime
    created_at: datetime
    payload: Mapping[str, Any]
    owner: str
    token: str
    until: datetime
    variables: Mapping[str, Variable] = {}


class Acquisition(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a lease on up to `count` jobs that are available, oldest first.

    `job_id`: only this one. `tenant_id` None: of any tenant. `exclusive`: of an instance's exclusive jobs only one.
    `request_id`: a repetition with the same one gets those jobs of the first answer that are still held by the owner.
    `expected`: a commit told of a job, so that it is not worth asking first whether there is any.
    """

    lane: str
    owner: str
    until: datetime
    now: datetime
    count: int = 1
    topic: str = ""
    tenant_id: str | None = None
    job_id: str = ""
    exclusive: bool = False
    with_variables: bool = False
    request_id: str = ""
    expected: bool = False


class Acquired(msgspec.Struct, frozen=True, kw_only=True):
    """`blocked`: there were jobs more, which must wait for another exclusive job of their instance.

    `contended`: there were jobs more, whose instance somebody had under their hands: worth another look at once.
    """

    jobs: Sequence[LeasedJob]
    blocked: bool = False
    contended: bool = False


class LeaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """Names a lease: `token` empty: whichever the owner has on that job; `tenant_id` None: of whichever tenant."""

    job_id: str
    owner: str
    token: str = ""
    tenant_id: str | None = None


class Leases(Protocol):
    """Who holds which outside job. Raises Unavailable while the database is away."""

    async def acquire(self, ask: Acquisition) -> Acquired:
        """Lease jobs; nobody else gets them until the lease ends."""
        ...

    async def extend(self, leases: Sequence[LeaseChange], until: datetime) -> list[str]:
        """Let leases last until then. For each: empty if done, `not-found`, or `not-held`."""
        ...

    async def release(self, leases: Sequence[LeaseChange]) -> list[str]:
        """Give jobs back undone, at no cost of a retry. Outcomes as `extend`."""
        ...

    async def release_all(self, owner: str, tenant_id: str | None = None) -> int:
        """Give all jobs of a holder back; says how many."""
        ...

    async def next_available(self, lane: str, topic: str = "", after: datetime | None = None) -> datetime | None:
        """When the next job of a lane (and topic, if one is named) may be taken, not counting those before `after`."""
        ...


class DueJobs(Protocol):
    """The group commit's way with timers and asynchronous continuations."""

    async def execute_due(self, limit: int) -> int:
        """Execute up to so many that are due, the longest due first; says how many, failed attempts included.

        One that fails loses a retry in a transaction of its own. Trees that somebody else works on are left out.
        """
        ...


class DefinitionJobs(Protocol):
    """Scheduled changes of definitions (suspend or activate at a date)."""

    async def run_due(self, most: int = 16) -> int:
        """Carry out those that are due; says how many were."""
        ...


class Commands(Protocol):
    """Where commands on instances go: the group commit."""

    async def submit(self, command: Command, *, request_id: str = "") -> Mapping[str, Value]:
        """Carry out a command; returns its reply. Raises Refused, or Unavailable."""
        ...


Perform = Callable[[str, Mapping[str, Any]], Awaitable[Command]]
"""Does the work of an outside job (its id and payload) and returns the command that reports the outcome."""


class RunsJobs(Protocol):
    """What an operator's or a test's hand can set going."""

    async def run_available(self, limit: int) -> int:
        """Execute up to so many jobs of all kinds that are due now; says how many, failed attempts included."""
        ...

    async def run_now(self, job_id: str) -> bool:
        """Do the outside work of one job now; False if it is held, gone or not due. Raises Refused if that fails."""
        ...
