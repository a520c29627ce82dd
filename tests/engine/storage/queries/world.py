"""An engine that writes and queries that read, on one database; and the processes that the tests run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from engine.app.queries import Queries
from engine.kernel.definition import Definition
from engine.storage import tables
from engine.storage.queries import SqlQueries
from mesh.db.database import Database
from mesh.testing.statements import note_statements
from tests.engine.storage.support import Bench, process, running

START = '<startEvent id="start"/><sequenceFlow id="f0" sourceRef="start" targetRef="{0}"/>'

REVIEW = process(
    "review",
    START.format("fork") + '<parallelGateway id="fork"/>'
    '<sequenceFlow id="f1" sourceRef="fork" targetRef="approve"/>'
    '<sequenceFlow id="f2" sourceRef="fork" targetRef="wait"/>'
    '<userTask id="approve" name="Approve" flowable:assignee="kermit" flowable:dueDate="${due}"/>'
    '<boundaryEvent id="late" attachedToRef="approve" cancelActivity="false">'
    "<timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition></boundaryEvent>"
    '<sequenceFlow id="f3" sourceRef="late" targetRef="lateEnd"/><endEvent id="lateEnd"/>'
    '<intermediateCatchEvent id="wait" name="Wait for it"><messageEventDefinition messageRef="m"/>'
    "</intermediateCatchEvent>"
    '<sequenceFlow id="f4" sourceRef="approve" targetRef="end"/>'
    '<sequenceFlow id="f5" sourceRef="wait" targetRef="end"/>'
    '<endEvent id="end"/>',
    '<message id="m" name="papers"/>',
)
LOOP = process(
    "loop",
    START.format("box")
    + '<subProcess id="box"><startEvent id="in"/><sequenceFlow id="f1" sourceRef="in" targetRef="each"/>'
    '<userTask id="each" name="Each"><multiInstanceLoopCharacteristics isSequential="false">'
    "<loopCardinality>3</loopCardinality></multiInstanceLoopCharacteristics></userTask>"
    '<sequenceFlow id="f2" sourceRef="each" targetRef="out"/><endEvent id="out"/></subProcess>'
    '<sequenceFlow id="f3" sourceRef="box" targetRef="end"/><endEvent id="end"/>',
)
CALLED = process(
    "called",
    START.format("inner") + '<userTask id="inner" name="Inner"/>'
    '<sequenceFlow id="f1" sourceRef="inner" targetRef="end"/><endEvent id="end"/>',
)
CALLER = process(
    "caller",
    START.format("call") + '<callActivity id="call" calledElement="called"/>'
    '<sequenceFlow id="f1" sourceRef="call" targetRef="end"/><endEvent id="end"/>',
)
WORKER = process(
    "worker",
    START.format("ship")
    + '<serviceTask id="ship" name="Ship" flowable:type="external-worker" flowable:topic="shipping"/>'
    '<sequenceFlow id="f1" sourceRef="ship" targetRef="end"/><endEvent id="end"/>',
)
ASYNC = process(
    "later",
    START.format("task") + '<userTask id="task" flowable:async="true"/>'
    '<sequenceFlow id="f1" sourceRef="task" targetRef="end"/><endEvent id="end"/>',
)


@dataclass(slots=True)
class ReadWorld:
    """What a test holds in its hands."""

    bench: Bench
    queries: SqlQueries
    database: Database
    statements: list[str]

    @property
    def port(self) -> Queries:
        """The queries as their users see them."""
        return self.queries

    def execution_at(self, instance_id: str, element_id: str) -> str:
        """The id of the only execution at an element, as a row names it."""
        found = {
            row["execution_id"]
            for table in (tables.task, tables.job, tables.subscription)
            for row in self.bench.rows(table, instance_id=instance_id)
            if row["element_id"] == element_id
        }
        (execution_id,) = found
        return str(execution_id)

    def deploy_row(self, deployment_id: str, **values: Any) -> None:
        """Put a deployment into the table."""
        row = {"name": "", "category": "", "key": "", "tenant_id": "", "parent_deployment_id": ""}
        self.bench.insert(
            tables.deployment, row | {"id": deployment_id, "deployed_at": self.bench.clock.now()} | values
        )


@contextlib.asynccontextmanager
async def reading(database: Database) -> AsyncIterator[ReadWorld]:
    """An engine and its queries."""
    statements: list[str] = []

    async with running(database) as bench:

        def definition_of(definition_id: str) -> Definition:
            return bench.source.known[definition_id]

        queries = SqlQueries(database, definition_of, bench.clock, threads=2)
        end = note_statements(database, lambda statement, _: statements.append(statement))
        try:
            yield ReadWorld(bench, queries, database, statements)
        finally:
            end()
            queries.close()
