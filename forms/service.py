"""The front door of forms: settings in, servicers out.

forms = FormsService(settings, clock=clock)
forms.add_to(server.registrar)
server.readiness.add_probe("forms", forms.probe)
await forms.start()
...
await forms.stop()
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import grpc
from flowloom.forms.v1 import form_repository_service_pb2_grpc, form_service_pb2_grpc
from sqlalchemy import select

from forms.app.deploying import Deploying
from forms.app.erasing import Erasing
from forms.app.resolving import Resolving
from forms.app.submitting import Submitting
from forms.jobs.pruning import PruningJob
from forms.model.limits import FormLimits
from forms.rpc.form_repository_service import FormRepositoryServicer
from forms.rpc.form_service import FormServicer
from forms.settings import FormsDatabase, PruningSettings, ResolvingSettings
from forms.storage.migrate import MIGRATIONS
from forms.storage.pruning import Pruning
from forms.storage.queries import SqlQueries
from forms.storage.store import SqlStore
from mesh.clock import Clock
from mesh.db.database import open_database
from mesh.errors import FailedPrecondition, Unavailable
from mesh.ids import IdSource
from mesh.outbox import in_database
from mesh.settings import setting

__all__ = ["SERVICES", "FormsService", "FormsSettings"]

SERVICES: Final = ("flowloom.forms.v1.FormRepositoryService", "flowloom.forms.v1.FormService")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormsSettings:
    """Forms' settings, from FLOWLOOM_FORMS_…; complete and working when nothing is set."""

    database: FormsDatabase = field(default_factory=FormsDatabase)
    limits: FormLimits = field(default_factory=FormLimits)
    resolving: ResolvingSettings = field(default_factory=ResolvingSettings)
    pruning: PruningSettings = field(default_factory=PruningSettings)
    migrate: bool = setting(True, doc="Bring the tables up to date at the start.")


class FormsService:
    """All of forms in one object."""

    def __init__(self, settings: FormsSettings, *, clock: Clock, ids: IdSource | None = None) -> None:
        """Wire everything; nothing is opened yet. Raises ValueError for a database URL of another kind."""
        self._settings = settings
        self._database = open_database(settings.database)
        new_id = (ids or IdSource()).root
        store = SqlStore(self._database)
        queries = SqlQueries(self._database)
        resolving = Resolving(
            queries,
            settings.limits,
            kept=settings.resolving.kept,
            default_tenant=settings.resolving.default_tenant,
            fallback=settings.resolving.fallback_to_default_tenant,
        )
        deploying = Deploying(store, now=clock.now, new_id=new_id, limits=settings.limits)
        submitting = Submitting(store, queries, resolving, now=clock.now, new_id=new_id, limits=settings.limits)
        self._repository = FormRepositoryServicer(deploying, resolving, queries)
        self._forms = FormServicer(submitting, Erasing(store, now=clock.now), queries)
        self.pruning = PruningJob(
            Pruning(self._database).prune,
            clock.now,
            look_seconds=settings.pruning.look_seconds,
            retention_seconds=settings.pruning.retention_seconds,
        )
        self._started = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve the contract there."""
        form_repository_service_pb2_grpc.add_FormRepositoryServiceServicer_to_server(self._repository, server)
        form_service_pb2_grpc.add_FormServiceServicer_to_server(self._forms, server)

    async def start(self) -> None:
        """Bring the tables up to date.

        Raises FailedPrecondition if migrations are missing that we may not run, Unavailable if the database is away.
        """
        if self._settings.migrate:
            await asyncio.to_thread(MIGRATIONS.upgrade, self._database)
        else:
            present, wanted = await asyncio.to_thread(lambda: (MIGRATIONS.current(self._database), MIGRATIONS.head()))
            if present != wanted:
                message = f"expected forms' tables at step {wanted}, found {present or 'none'}"
                raise FailedPrecondition("migrations-missing", message)
        self._started = True
        self.pruning.start()

    async def probe(self) -> None:
        """Raise Unavailable unless the database answers."""
        if not self._started:
            raise Unavailable("forms-not-started", "expected forms to be at work, found it not started")
        await in_database(self._database, lambda connection: connection.execute(select(1)).scalar_one())

    async def stop(self) -> None:
        """End in good order."""
        await self.pruning.stop()
        self._started = False
        self._database.close()
