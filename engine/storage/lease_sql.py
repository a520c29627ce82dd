"""Leases on outside jobs as statements of a writer. A lease is an owner, a token and an end on the job's row.

Only rows of `job` change here, and only their lease: neither the instance nor its root is touched, so taking work waits
for no command and no command waits for it. Candidates that somebody else has under their hands are passed over.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.jobs import Acquired, Acquisition, LeaseChange, LeasedJob
from engine.kernel.state import EXTERNAL, HTTP, Instance, decode_tokens
from engine.kernel.values import Value, Variable, variables_of
from mesh.db.statements import COMMIT, Sql, Statement
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer

Row = Sequence[Any]
DecodeValue = Callable[[str, str], Value]
"""Reads a variable's value: its type and its column."""

PAGES: Final = 8
"""How many pages of candidates one look reads at most, if many must wait for another job of their instance."""
PAGE_MARGIN: Final = 16
PREFIX_LENGTH: Final = 24

_JOB: Final = (
    "id, root_id, instance_id, execution_id, element_id, element_name, handler, topic, definition_id, tenant_id, "
    "retries, error, due_at, created_at, payload, exclusive, available_at, lock_token, lease_until"
)
_IN_LANE: Final = f"SELECT {_JOB} FROM job {{index ix_job_lane_topic_available_at}} WHERE lane = ? AND topic = ? "
_ORDER: Final = "ORDER BY available_at, id LIMIT ?"
_FREE: Final = Sql(f"{_IN_LANE} AND available_at <= ? AND (available_at > ? OR (available_at = ? AND id > ?)) {_ORDER}")
_FREE_OF_TENANT: Final = Sql(
    f"{_IN_LANE} AND available_at <= ? AND (available_at > ? OR (available_at = ? AND id > ?)) AND tenant_id = ? "
    f"{_ORDER}"
)
_ONE: Final = Sql(f"SELECT {_JOB} FROM job WHERE id = ? AND lane = ? AND available_at <= ? {{skip locked}}")
_HELD: Final = Sql(f"{_IN_LANE} AND available_at > ? AND lock_owner = ? AND lock_token LIKE ? {_ORDER}")
_LOCK: Final = Sql("SELECT id FROM job WHERE id IN ?* AND lane = ? AND available_at <= ? {skip locked}")
_BUSY: Final = Sql(
    "SELECT DISTINCT instance_id FROM job WHERE instance_id IN ?* AND lane = ? AND exclusive = ? AND lease_until > ?"
)
_LOCK_INSTANCES: Final = Sql("SELECT id FROM instance WHERE id IN ?* {skip locked}")
_LEASE: Final = Sql("UPDATE job SET lock_owner = ?, lock_token = ?, lease_until = ?, available_at = ? WHERE id IN ?*")
_INSTANCES: Final = Sql("SELECT id, definition_id, definition_key, tokens FROM instance WHERE id IN ?*")
_VARIABLES: Final = Sql("SELECT scope_id, name, type, value FROM variable WHERE root_id IN ?* ORDER BY name")
_MINE: Final = "WHERE id = ? AND lock_owner = ? AND (lock_token = ? OR ? = '') AND (tenant_id = ? OR ? = 1)"
_EXTEND: Final = Sql(f"UPDATE job SET lease_until = ?, available_at = ? {_MINE}")
_RELEASE: Final = Sql(
    f"UPDATE job SET lock_owner = '', lock_token = '', lease_until = NULL, available_at = due_at {_MINE}"
)
_OUTSIDE: Final = Sql("SELECT id, tenant_id FROM job WHERE id IN ?* AND kind IN ?* AND dead = ?")
_OF_OWNER: Final = Sql("SELECT id, tenant_id FROM job WHERE lane = ? AND lock_owner = ? {skip locked}")
_RELEASE_MANY: Final = Sql(
    "UPDATE job SET lock_owner = '', lock_token = '', lease_until = NULL, available_at = due_at WHERE id IN ?*"
)
_DEAD, _EXCLUSIVE = True, True
_START: Final = "0001-01-01 00:00:00.000000"


class Names:
    """Positions of `_JOB`."""

    ID, ROOT, INSTANCE, EXECUTION = 0, 1, 2, 3
    PAYLOAD, EXCLUSIVE, AVAILABLE, TOKEN, UNTIL = 14, 15, 16, 17, 18


def token_prefix(request: str) -> str:
    """The beginning of the tokens of one request: by it a repeated request finds what it was given."""
    return hashlib.sha256(request.encode()).hexdigest()[:PREFIX_LENGTH]


def acquire(
    writer: Writer, ask: Acquisition, prefix: str, nonce: str, decode: DecodeValue, *, repeated: bool
) -> Acquired:
    """Lease jobs and commit. `repeated`: look first for what the same request was given. Raises DatabaseError."""
    if repeated:
        held = _held(writer, ask, prefix)
        if held:
            return Acquired(jobs=_jobs(writer, ask, held, decode, owner_token=None))
    found = _candidates(writer, ask)
    rows = found.rows
    if not rows:
        writer.rollback()
        return Acquired(jobs=(), blocked=found.blocked, contended=found.contended)
    token = f"{prefix}.{nonce}"
    until = text_of_moment(ask.until)
    lease = _LEASE.of(ask.owner, token, until, until, [row[Names.ID] for row in rows])
    jobs = _jobs(writer, ask, rows, decode, owner_token=token, lease=lease)
    return Acquired(jobs=jobs, blocked=found.blocked, contended=found.contended)


def _held(writer: Writer, ask: Acquisition, prefix: str) -> Sequence[Row]:
    call = _HELD.of(ask.lane, ask.topic, text_of_moment(ask.now), ask.owner, f"{prefix}.%", ask.count)
    return writer.run([call])[0].rows


class _Candidates:
    """Rows to lease, locked, and what became of the others that were looked at."""

    __slots__ = ("blocked", "contended", "rows", "taken")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.taken: set[str] = set()
        self.blocked = False
        self.contended = False


def _candidates(writer: Writer, ask: Acquisition) -> _Candidates:
    """Look at pages without locks and lock only what is chosen, so that nobody else has to pass over more than that."""
    found = _Candidates()
    if ask.job_id:
        found.rows += writer.run([_ONE.of(ask.job_id, ask.lane, text_of_moment(ask.now))])[0].rows
        return found
    after = (_START, "")
    for _ in range(PAGES):
        size = ask.count - len(found.rows) + (PAGE_MARGIN if ask.exclusive else 0)
        page = _page(writer, ask, after, size)
        seen = _take(writer, ask, page, found) if page else 0
        if len(found.rows) == ask.count or (seen == len(page) and len(page) < size):
            break
        after = (page[seen - 1][Names.AVAILABLE], page[seen - 1][Names.ID])
    return found


def _take(writer: Writer, ask: Acquisition, page: Sequence[Row], found: _Candidates) -> int:
    """Choose rows of a page, in order, until there are enough, and lock them; says how many rows it looked at."""
    seen = _choose(writer, ask, page, found)
    rest = page[seen:]
    if not rest or len(found.rows) == ask.count:
        return seen
    # Some were not to be had. Before choosing again, all the others are asked after: however many must wait for another
    # job of their instance, they do not hide one behind them.
    _choose(writer, ask, _free(writer, ask, rest, found), found)
    return len(page)


def _choose(writer: Writer, ask: Acquisition, page: Sequence[Row], found: _Candidates) -> int:
    """Choose and lock; says at how many rows it looked."""
    chosen: list[Row] = []
    alone: set[str] = set()
    seen = 0
    for row in page:
        if len(found.rows) + len(chosen) == ask.count:
            break
        seen += 1
        instance_id = row[Names.INSTANCE]
        if not ask.exclusive or not row[Names.EXCLUSIVE]:
            chosen.append(row)
        elif instance_id in found.taken or instance_id in alone:
            found.blocked = True
        else:
            alone.add(instance_id)
            chosen.append(row)
    if chosen:
        _lock(writer, ask, chosen, alone, found)
    return seen


def _free(writer: Writer, ask: Acquisition, rows: Sequence[Row], found: _Candidates) -> Sequence[Row]:
    """Those rows whose instance nobody has under their hands and none of whose exclusive jobs is held."""
    wanted = sorted({row[Names.INSTANCE] for row in rows if row[Names.EXCLUSIVE]}) if ask.exclusive else []
    if not wanted:
        return rows
    packet = [_LOCK_INSTANCES.of(wanted), _BUSY.of(wanted, ask.lane, _EXCLUSIVE, text_of_moment(ask.now))]
    locked, busy = [{row[0] for row in result.rows} for result in writer.run(packet)]
    free: list[Row] = []
    for row in rows:
        if not row[Names.EXCLUSIVE] or (row[Names.INSTANCE] in locked and row[Names.INSTANCE] not in busy):
            free.append(row)
        elif row[Names.INSTANCE] in busy:
            found.blocked = True
        else:
            found.contended = True
    return free


def _lock(writer: Writer, ask: Acquisition, chosen: Sequence[Row], alone: set[str], found: _Candidates) -> None:
    """Lock rows and the instances that may have only one of their jobs held (`alone`), and keep what nobody else has.

    Without the instance's lock two takers could each find it free and take one job of it. One round trip.
    """
    now = text_of_moment(ask.now)
    packet: list[Statement] = [_LOCK.of([row[Names.ID] for row in chosen], ask.lane, now)]
    if alone:
        wanted = sorted(alone)
        packet[:0] = [_LOCK_INSTANCES.of(wanted), _BUSY.of(wanted, ask.lane, _EXCLUSIVE, now)]
    *exclusive, ours = [{row[0] for row in result.rows} for result in writer.run(packet)]
    locked, busy = exclusive or (set[str](), set[str]())
    for row in chosen:
        instance_id = row[Names.INSTANCE]
        is_alone = instance_id in alone and bool(row[Names.EXCLUSIVE])
        if is_alone and instance_id in busy:
            found.blocked = True
        elif row[Names.ID] not in ours or (is_alone and instance_id not in locked):
            found.contended = True
        else:
            found.rows.append(row)
            if is_alone:
                found.taken.add(instance_id)


def _page(writer: Writer, ask: Acquisition, after: tuple[str, str], size: int) -> Sequence[Row]:
    moment, job_id = after
    values = (ask.lane, ask.topic, text_of_moment(ask.now), moment, moment, job_id)
    if ask.tenant_id is None:
        return writer.run([_FREE.of(*values, size)])[0].rows
    return writer.run([_FREE_OF_TENANT.of(*values, ask.tenant_id, size)])[0].rows


class _Scope(msgspec.Struct, frozen=True):
    definition_key: str
    ids: dict[str, list[str]]
    """By execution: the scopes that it sees, the outermost first."""


def _scopes(rows: Sequence[Row], instances: Sequence[Row]) -> dict[str, _Scope]:
    """By instance, which scopes the executions of its jobs see."""
    executions: dict[str, set[str]] = {}
    for row in rows:
        executions.setdefault(row[Names.INSTANCE], set()).add(row[Names.EXECUTION])
    found: dict[str, _Scope] = {}
    for instance_id, definition_id, key, tokens in instances:
        instance = Instance(id=instance_id, root_id="", definition_id=definition_id, definition_key=key)
        decode_tokens(instance, tokens)
        ids = {execution_id: _path(instance, execution_id) for execution_id in executions[instance_id]}
        found[instance_id] = _Scope(key, ids)
    return found


def _path(instance: Instance, execution_id: str) -> list[str]:
    path: list[str] = []
    execution = instance.executions.get(execution_id)
    while execution is not None:
        path.append(execution.id)
        execution = instance.executions.get(execution.parent)
    return [instance.id, *reversed(path)]


def _jobs(
    writer: Writer,
    ask: Acquisition,
    rows: Sequence[Row],
    decode: DecodeValue,
    owner_token: str | None,
    lease: Statement | None = None,
) -> list[LeasedJob]:
    """Take the lease, read what workers are given, and commit: one round trip.

    Variables come for whole trees, as which scopes a job sees is only known from the instances read with them.
    """
    payloads = [msgspec.json.decode(row[Names.PAYLOAD]) for row in rows]
    whole = [row for row, payload in zip(rows, payloads, strict=True) if ask.with_variables and "inputs" not in payload]
    packet: list[Statement] = [] if lease is None else [lease]
    if ask.with_variables:
        packet.append(_INSTANCES.of(sorted({row[Names.INSTANCE] for row in rows})))
    if whole:
        packet.append(_VARIABLES.of(sorted({row[Names.ROOT] for row in whole})))
    results = writer.run([*packet, COMMIT])[lease is not None :]
    scopes = _scopes(rows, results[0].rows) if ask.with_variables else {}
    variables = _variables(whole, scopes, results[1].rows, decode) if whole else {}
    jobs: list[LeasedJob] = []
    for row, payload in zip(rows, payloads, strict=True):
        scope = scopes.get(row[Names.INSTANCE])
        job = _job(row, payload, ask, owner_token, scope.definition_key if scope is not None else "")
        if ask.with_variables:
            job = msgspec.structs.replace(job, variables=_seen(job, scope, variables))
        jobs.append(job)
    return jobs


def _variables(
    rows: Iterable[Row], scopes: Mapping[str, _Scope], found_rows: Sequence[Row], decode: DecodeValue
) -> dict[str, dict[str, Variable]]:
    """Variables by scope, of all scopes that these jobs see."""
    wanted: set[str] = set()
    for row in rows:
        scope = scopes.get(row[Names.INSTANCE])
        if scope is not None:
            wanted.update(scope.ids[row[Names.EXECUTION]])
    found: dict[str, dict[str, Variable]] = {}
    for scope_id, name, kind, value in found_rows:
        if scope_id in wanted:
            found.setdefault(scope_id, {})[name] = Variable(kind, decode(kind, value))
    return found


def _seen(job: LeasedJob, scope: _Scope | None, variables: Mapping[str, Mapping[str, Variable]]) -> dict[str, Variable]:
    """A model that names inputs gives those; otherwise all variables that the execution sees, inner before outer."""
    inputs = job.payload.get("inputs")
    if inputs is not None:
        return variables_of(inputs)
    seen: dict[str, Variable] = {}
    for scope_id in scope.ids[job.execution_id] if scope is not None else ():
        seen.update(variables.get(scope_id, {}))
    # The counters of the loops around are no rows; the element wrote them down when it began.
    seen.update(variables_of(job.payload.get("loop", {})))
    return seen


def _job(
    row: Row, payload: Mapping[str, Any], ask: Acquisition, owner_token: str | None, definition_key: str
) -> LeasedJob:
    return LeasedJob(
        id=row[0],
        root_id=row[1],
        instance_id=row[2],
        execution_id=row[3],
        element_id=row[4],
        element_name=row[5],
        handler=row[6],
        topic=row[7],
        definition_id=row[8],
        definition_key=definition_key,
        tenant_id=row[9],
        retries=row[10],
        error=row[11],
        due_at=moment_of_text(row[12]),
        created_at=moment_of_text(row[13]),
        payload=payload,
        owner=ask.owner,
        token=row[Names.TOKEN] if owner_token is None else owner_token,
        until=moment_of_text(row[Names.UNTIL]) if owner_token is None else ask.until,
    )


def extend(writer: Writer, leases: Sequence[LeaseChange], until: datetime) -> list[str]:
    """Let leases last until then and commit; for each empty if done, `not-found` or `not-held`."""
    ending = text_of_moment(until)
    return _change(writer, leases, [_EXTEND.of(ending, ending, *_named(lease)) for lease in leases])


def release(writer: Writer, leases: Sequence[LeaseChange]) -> list[str]:
    """Give jobs back and commit; outcomes as `extend`."""
    return _change(writer, leases, [_RELEASE.of(*_named(lease)) for lease in leases])


def _named(lease: LeaseChange) -> tuple[str, str, str, str, str, int]:
    any_tenant = lease.tenant_id is None
    return lease.job_id, lease.owner, lease.token, lease.token, lease.tenant_id or "", int(any_tenant)


def _change(writer: Writer, leases: Sequence[LeaseChange], statements: Sequence[Any]) -> list[str]:
    known = _OUTSIDE.of([lease.job_id for lease in leases], [EXTERNAL, HTTP], not _DEAD)
    *changed, outside, _ = writer.run([*statements, known, COMMIT])
    there = {row[0]: row[1] for row in outside.rows}
    seen = [lease.tenant_id is None or lease.tenant_id == there.get(lease.job_id) for lease in leases]
    return [
        "" if result.affected else "not-held" if lease.job_id in there and sees else "not-found"
        for result, lease, sees in zip(changed, leases, seen, strict=True)
    ]


def release_all(writer: Writer, lane: str, owner: str, tenant_id: str | None) -> int:
    """Give all jobs of an owner in a lane back and commit; says how many."""
    rows = writer.run([_OF_OWNER.of(lane, owner)])[0].rows
    ids = [row[0] for row in rows if tenant_id is None or row[1] == tenant_id]
    if not ids:
        writer.rollback()
        return 0
    return writer.run([_RELEASE_MANY.of(ids), COMMIT])[0].affected
