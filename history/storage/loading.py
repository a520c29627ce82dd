"""What a batch reads before it writes: locks, and the records that it changes, in one or two round trips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from history.app.batches import Loaded, Wanted
from history.app.recording import RebuildUnderWay
from history.app.redacting import Erased
from history.model.ids import person_digest, tenant_digest
from history.model.records import Variable
from history.storage.rows import ACTIVITIES, INSTANCES, TASKS
from mesh.db.statements import Result, Sql, Statement
from mesh.db.types import moment_of_text
from mesh.db.writer import Writer

_GATE: Final = Sql("SELECT ticket FROM rebuild_gate WHERE id = 1 {for share}")
_APPLIED: Final = Sql("SELECT root_id, sequence FROM applied_command WHERE root_id IN ?* {for update}")
_VARIABLES: Final = Sql("SELECT id, created_at, revision FROM historic_variable WHERE id IN ?*")
_ANY_ERASURE: Final = Sql("SELECT 1 FROM erased_person LIMIT 1")
_PEOPLE: Final = Sql("SELECT person, replacement, with_comments, erased_at FROM erased_person WHERE person IN ?*")
_ERASED_VARIABLES: Final = Sql("SELECT variable_id, erased_at FROM erased_variable WHERE variable_id IN ?*")


def load(writer: Writer, wants: Wanted, ticket: str) -> Loaded:
    """Lock the roots, and load what is wanted. Raises RebuildUnderWay if there is a rebuild with another ticket."""
    loaded = Loaded()
    packet: list[Statement] = []
    takers: list[Callable[[Result], None]] = []
    erasures: list[bool] = []

    def ask(statement: Statement, take: Callable[[Result], None]) -> None:
        packet.append(statement)
        takers.append(take)

    def pass_gate(found: Result) -> None:
        if found.rows and found.rows[0][0] != ticket:
            raise RebuildUnderWay

    # Shared until the end of the transaction: a rebuild begins when whoever records has ended, and not in between.
    ask(_GATE.of(), pass_gate)
    # Roots in one order in every process, so that two of them wait for each other and never in a circle.
    ask(_APPLIED.of(sorted(wants.roots)), lambda found: loaded.applied.update((row[0], row[1]) for row in found.rows))
    ask(_ANY_ERASURE.of(), lambda found: erasures.append(bool(found.rows)))
    if wants.instances:
        ask(INSTANCES.by_ids.of(sorted(wants.instances)), lambda found: _take_instances(loaded, found))
    if wants.activities:
        ask(ACTIVITIES.by_ids.of(sorted(wants.activities)), lambda found: _take_activities(loaded, found))
    if wants.tasks:
        ask(TASKS.by_ids.of(sorted(wants.tasks)), lambda found: _take_tasks(loaded, found))
    if wants.variables:
        ask(_VARIABLES.of(sorted(wants.variables)), lambda found: _take_variables(loaded, found))
    if wants.open_of:
        ask(ACTIVITIES.open_of.of(sorted(wants.open_of)), lambda found: _take_activities(loaded, found))
        ask(TASKS.open_of.of(sorted(wants.open_of)), lambda found: _take_tasks(loaded, found))
    for take, result in zip(takers, writer.run(packet), strict=True):
        take(result)
    if erasures[0]:
        load_erased(writer, wants, loaded)
    return loaded


def load_erased(writer: Writer, wants: Wanted, loaded: Loaded) -> None:
    """Who and what of the batch was erased. Only where anything ever was: it costs a round trip and a digest a text."""
    digests = {person_digest(text): text for text in wants.people}
    tenants = {tenant_digest(tenant_id): tenant_id for tenant_id in wants.tenants}
    people, variables = writer.run(
        [_PEOPLE.of(sorted({*digests, *tenants})), _ERASED_VARIABLES.of(sorted(wants.variables))]
    )
    for person, replacement, with_comments, erased_at in people.rows:
        if person in tenants:
            loaded.erased_tenants[tenants[person]] = moment_of_text(erased_at)
            continue
        loaded.erased_people[digests[person]] = Erased(
            replacement=replacement, with_comments=bool(with_comments), erased_at=moment_of_text(erased_at)
        )
    for variable_id, erased_at in variables.rows:
        loaded.erased_variables[variable_id] = moment_of_text(erased_at)


def _take_instances(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.instances[row[0]] = INSTANCES.record(row)


def _take_activities(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.activities.setdefault(row[0], ACTIVITIES.record(row))


def _take_tasks(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.tasks.setdefault(row[0], TASKS.record(row))


def _take_variables(loaded: Loaded, found: Result) -> None:
    """Only since when it exists and how often it was changed matters: all else is replaced."""
    for key, created_at, revision in found.rows:
        at = moment_of_text(created_at)
        loaded.variables[key] = Variable(
            id=key,
            root_id="",
            instance_id="",
            execution_id="",
            task_id="",
            name="",
            type="null",
            value=None,
            created_at=at,
            updated_at=at,
            revision=revision,
        )
