"""The front door of history: settings and a bus in, a servicer and a consumer out.

history = HistoryService(settings, bus)
history.add_to(server.registrar)
server.readiness.add_probe("history", history.probe)
await history.start()
...
await history.stop()
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc
from flowloom.history.v1 import (
    archive_service_pb2_grpc,
    erasure_service_pb2_grpc,
    history_log_service_pb2_grpc,
    history_service_pb2_grpc,
    rebuild_service_pb2_grpc,
    search_service_pb2_grpc,
    statistics_service_pb2_grpc,
)
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from history.app.archiving import Archive
from history.app.deleting import Deleting
from history.app.erasing import Erasing
from history.app.indexing import Indexer
from history.app.rebuilding import Rebuilding
from history.app.recording import Recorder
from history.app.searching import Searching
from history.app.statistics import Statistics
from history.effects.feed import SearchFeed, StreamFeed
from history.effects.parquet import ParquetFiles
from history.jobs.archiving import Archiving
from history.jobs.lag import LagGauge
from history.model.lag import Behind
from history.rpc.archive_service import ArchiveServicer
from history.rpc.erasure_service import ErasureServicer
from history.rpc.history_service import HistoryServicer
from history.rpc.log_service import HistoryLogServicer
from history.rpc.rebuild_service import RebuildServicer
from history.rpc.search_service import SearchServicer
from history.rpc.statistics_service import StatisticsServicer
from history.settings import HistorySettings
from history.storage import tables
from history.storage.archive import ArchiveRows
from history.storage.comments import CommentStore
from history.storage.erasure import ErasureRows
from history.storage.gate import ErasedGate
from history.storage.log_queries import LogAnswers
from history.storage.migrate import MIGRATIONS
from history.storage.queries import Queries
from history.storage.rebuild import RebuildRows
from history.storage.searching import TermIndex
from history.storage.statistics import StatisticsAnswers
from history.storage.store import Store
from mesh.bus.ports import EventBus, Position
from mesh.bus.sql import SqlDeadLetters
from mesh.clock import Clock, SystemClock
from mesh.db.database import open_database
from mesh.errors import FailedPrecondition
from mesh.ids import IdSource
from mesh.outbox import in_database

if TYPE_CHECKING:
    from history.effects.opensearch import OpenSearchIndex
    from history.settings import SearchSettings

__all__ = ["SERVICES", "HistoryService", "HistorySettings"]

SERVICES: Final = (
    "flowloom.history.v1.ArchiveService",
    "flowloom.history.v1.ErasureService",
    "flowloom.history.v1.HistoryLogService",
    "flowloom.history.v1.HistoryService",
    "flowloom.history.v1.RebuildService",
    "flowloom.history.v1.SearchService",
    "flowloom.history.v1.StatisticsService",
)


class HistoryService:
    """All of history in one object. The bus is its owner's to stop, after history."""

    def __init__(
        self,
        settings: HistorySettings,
        bus: EventBus,
        *,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Nothing is opened yet. `registry` takes the gauges of the lag.

        Raises ValueError for a database URL of another kind.
        """
        self._settings = settings
        self._database = open_database(settings.database)
        clock = self._clock = clock or SystemClock()
        ids = IdSource()
        engine = _search_engine(settings.search)
        self._engine = engine
        with_terms = engine is None
        self._store = Store(self._database, clock, with_terms=with_terms)
        self.recorder = Recorder(self._store)
        self.dead_letters = SqlDeadLetters(self._database, tables.dead_letter, settings.group)
        queries = Queries(self._database)
        self._servicer = HistoryServicer(queries, Deleting(self._store, engine))
        self._logs = HistoryLogServicer(queries, LogAnswers(self._database), CommentStore(self._store, clock, ids))
        self._statistics = StatisticsServicer(Statistics(StatisticsAnswers(self._database), clock))
        self._search = SearchServicer(Searching(engine or TermIndex(self._database), queries))
        self.archive = Archive(
            ArchiveRows(self._store, self._database, clock, with_terms=with_terms),
            ParquetFiles(settings.archive) if settings.archive.url else None,
            clock,
            ids,
            instances_per_file=settings.archive.instances_per_file,
            orphan_seconds=settings.archive.orphan_seconds,
            search=engine,
        )
        self._archive = ArchiveServicer(self.archive, clock)
        self._archiving = Archiving(self.archive, settings.archive.look_seconds)
        erasures = ErasureRows(self._store, self._database, clock, settings.erasure_key, with_terms=with_terms)
        self._erasures = ErasureServicer(
            Erasing(erasures, self.archive, clock, ids, key=settings.erasure_key, search=engine)
        )
        self._feed = StreamFeed(bus, self.dead_letters, settings, self._applied_sequence, clock)
        indexer = Indexer(ErasedGate(self._store, self._database), engine) if engine is not None else None
        self._rebuilding = Rebuilding(
            RebuildRows(self._store, self._database, clock, settings.group, settings.rebuild_lease_seconds),
            self._feed,
            self.recorder.record,
            clock,
            ids,
            lease_seconds=settings.rebuild_lease_seconds,
            index=indexer.index if indexer is not None else None,
        )
        self._rebuilds = RebuildServicer(self._rebuilding, self._measure)
        self._search_feed = self._feed_of_engine(indexer, bus) if indexer is not None else None
        self._lag = LagGauge(self._measure, settings.lag_interval_seconds, registry)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve the contract there."""
        erasure_service_pb2_grpc.add_ErasureServiceServicer_to_server(self._erasures, server)
        rebuild_service_pb2_grpc.add_RebuildServiceServicer_to_server(self._rebuilds, server)
        archive_service_pb2_grpc.add_ArchiveServiceServicer_to_server(self._archive, server)
        history_service_pb2_grpc.add_HistoryServiceServicer_to_server(self._servicer, server)
        history_log_service_pb2_grpc.add_HistoryLogServiceServicer_to_server(self._logs, server)
        statistics_service_pb2_grpc.add_StatisticsServiceServicer_to_server(self._statistics, server)
        search_service_pb2_grpc.add_SearchServiceServicer_to_server(self._search, server)

    async def start(self) -> None:
        """Bring the tables up to date and begin to take events, from where history's own database ends.

        Raises FailedPrecondition if migrations are missing that we may not run, Unavailable if the database is away.
        """
        await self._migrate()
        await self._rebuilding.begin_reading()
        if self._search_feed is not None:
            await self._search_feed.begin()
        self._lag.start()
        self._archiving.start()

    async def stop(self) -> None:
        """Let the batch under way end, take no more, and close the database."""
        await self._lag.stop()
        await self._archiving.stop()
        await self._rebuilding.stop()
        await self._feed.stop()
        if self._search_feed is not None:
            await self._search_feed.stop()
        if self._engine is not None:
            self._engine.close()
        await self._store.close()
        self._database.close()

    async def probe(self) -> None:
        """Raise Unavailable unless the database answers and events are taken."""
        await self._feed.running.probe()
        await in_database(self._database, lambda connection: connection.execute(select(1)).scalar_one())

    async def wait_until(self, sequence: int) -> None:
        """Return once the message of this sequence was taken: who asks then reads what was written before it."""
        await self._feed.running.wait_until(sequence)

    async def position(self) -> Position:
        """Where history stands on the bus."""
        return await self._feed.position()

    async def replay(self, root_id: str) -> int:
        """Take the parked messages of a root anew; returns how many succeeded."""
        return await self._feed.running.replay(root_id)

    async def lag(self) -> int:
        """Measure how many messages history is behind, and set the gauges."""
        return await self._lag.measure()

    def _feed_of_engine(self, indexer: Indexer, bus: EventBus) -> SearchFeed:
        """A second reader of the stream, with an offset of its own: the engine's absence holds nothing else up."""
        group = f"{self._settings.group}-search"
        letters = SqlDeadLetters(self._database, tables.dead_letter, group)
        return SearchFeed(bus, letters, self._settings, group, indexer.index)

    async def search_caught_up(self) -> None:
        """Return once the search engine has all that is in the stream now; at once where there is none."""
        if self._search_feed is not None:
            await self._search_feed.caught_up()

    async def _measure(self) -> Behind:
        position = await self.position()
        last = self._feed.last_at
        waits = position.behind > 0 and last is not None
        seconds = max((self._clock.now() - last).total_seconds(), 0.0) if waits and last is not None else 0.0
        return Behind(messages=position.behind, held=position.held, seconds=seconds)

    async def _migrate(self) -> None:
        if self._settings.migrate:
            await asyncio.to_thread(MIGRATIONS.upgrade, self._database)
            return
        present, wanted = await asyncio.to_thread(lambda: (MIGRATIONS.current(self._database), MIGRATIONS.head()))
        if present != wanted:
            message = f"expected history's tables at step {wanted}, found {present or 'none'}"
            raise FailedPrecondition("migrations-missing", message)

    async def _applied_sequence(self) -> int:
        """The highest sequence whose effects are here: parked messages are counted, they are here in their way."""
        statement = select(func.coalesce(func.max(tables.applied.c.sequence), 0))
        parked = select(func.coalesce(func.max(tables.dead_letter.c.sequence), 0)).where(
            tables.dead_letter.c.consumer_group == self._settings.group
        )
        return await in_database(
            self._database,
            lambda connection: max(
                int(connection.execute(statement).scalar_one()), int(connection.execute(parked).scalar_one())
            ),
        )


def _search_engine(settings: SearchSettings) -> OpenSearchIndex | None:
    """The index of OpenSearch where its URL is set. Its client is only imported then: it takes long to."""
    if not settings.url:
        return None
    from history.effects.opensearch import OpenSearchIndex

    return OpenSearchIndex(settings)
