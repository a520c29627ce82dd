"""The database goes away under load, comes back, stands in the way: what clients see, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pymysql
import pytest
from sqlalchemy.engine import make_url

from engine.app.writers import GroupCommitSettings
from engine.jobs.settings import JobSettings
from mesh.clock import SystemClock
from mesh.db.errors import TransactionConflict
from mesh.errors import Unavailable
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.faults import models
from tests.faults.embedded import Embedded, refused, running, settings_for

CLIENTS = 16
FAST_SECONDS = 1.0
BACK_SECONDS = 20.0
TWO_WRITERS = GroupCommitSettings(writers=2)
is_installed = pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as found:
        yield found


@dataclass(slots=True)
class Load:
    """Clients that start and complete instances under request ids of their own until they are told to stop."""

    engine: Embedded
    keys: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    refusals: list[tuple[str, float]] = field(default_factory=list)
    stopping: bool = False
    _turn: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self, number: int) -> None:
        turn = 0
        while not self.stopping:
            turn += 1
            key = f"{number}-{turn}"
            self.keys.append(key)
            began = time.monotonic()
            try:
                await self.live(key)
                self.acknowledged.add(key)
            except grpc.aio.AioRpcError as error:
                self.refusals.append((error.code().name, time.monotonic() - began))
            self._turn.set()

    async def live(self, key: str) -> None:
        """Start an instance and complete its task; what was done before is only answered again."""
        instance = await self.engine.start("one", business_key=key, request_id=f"start-{key}")
        task = await self._task_of(instance)
        if task:
            await self.engine.complete(task, request_id=f"complete-{key}")

    async def _task_of(self, instance: str) -> str:
        found = await self.engine.open_tasks(instance)
        return str(found[0].id) if found else ""

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something is true of what the clients have seen."""
        async with asyncio.timeout(BACK_SECONDS):
            while not done():
                self._turn.clear()
                await self._turn.wait()


@pytest.mark.mariadb
@is_installed
async def test_a_killed_server_is_told_at_once_and_the_engine_is_back_by_itself_with_nothing_lost(
    server: MariaDb,
) -> None:
    settings = settings_for(
        server.create_database(), commit=TWO_WRITERS, jobs=JobSettings(job_look_seconds=0.1), connect_seconds=1.0
    )
    async with running(settings, SystemClock()) as engine:
        await engine.deploy(models.ONE)
        load = Load(engine)
        clients = [asyncio.create_task(load.client(number)) for number in range(CLIENTS)]
        await load.until(lambda: len(load.acknowledged) >= 3 * CLIENTS)

        server.kill()
        await load.until(lambda: len(load.refusals) >= 5 * CLIENTS)
        with pytest.raises(Unavailable):
            await engine.service.probe()
        while_away = list(load.refusals)
        done = len(load.acknowledged)
        server.start()
        await _until_ready(engine)
        await load.until(lambda: len(load.acknowledged) >= done + 2 * CLIENTS)
        load.stopping = True
        await asyncio.gather(*clients)

        assert {code for code, _ in load.refusals} == {"UNAVAILABLE"}
        assert max(seconds for _, seconds in while_away) < FAST_SECONDS
        for key in load.keys:
            await load.live(key)
        assert await engine.count_instances() == 0
        assert _starts(settings.database.url) == len(load.keys)
        assert await engine.findings() == []


@pytest.mark.mariadb
@is_installed
async def test_an_idle_engine_notices_that_the_server_is_gone_and_that_it_is_back(server: MariaDb) -> None:
    settings = settings_for(
        server.create_database(), commit=TWO_WRITERS, jobs=JobSettings(job_look_seconds=0.1), connect_seconds=1.0
    )
    async with running(settings, SystemClock()) as engine:
        await engine.service.probe()

        server.kill()
        await _until_ready(engine, wanted=False)
        began = time.monotonic()
        with refused("UNAVAILABLE"):
            await engine.start("one")
        assert time.monotonic() - began < FAST_SECONDS

        server.start()
        await _until_ready(engine)
        await engine.deploy(models.ONE)
        assert await engine.task(await engine.start("one"))


@pytest.mark.mariadb
@is_installed
async def test_a_row_that_somebody_else_holds_is_waited_for_and_tried_again(server: MariaDb) -> None:
    settings = settings_for(server.create_database(), lock_wait_seconds=1.0)
    async with running(settings, SystemClock()) as engine:
        await engine.deploy(models.ONE)
        instance = await engine.start("one")
        task = await engine.task(instance)
        holder = _connect(settings.database.url)
        holder.cursor().execute("SELECT id FROM instance WHERE id = %s FOR UPDATE", (instance,))
        tries = _Tries(on_second=holder.rollback)
        engine.database.hook = tries

        await engine.complete(task)

        assert tries.locks >= 2
        assert await engine.count_instances() == 0
        holder.close()


async def test_conflicts_without_end_are_told_as_unavailable_and_leave_nothing_behind(tmp_path: Path) -> None:
    commit = GroupCommitSettings(writers=1, conflict_seconds=0.2, delivery_poll_seconds=3600.0)
    async with running(settings_for(f"sqlite:///{tmp_path}/engine.db", commit=commit)) as engine:
        await engine.deploy(models.ONE)
        engine.database.hook = _Always()

        with refused("UNAVAILABLE"):
            await engine.start("one", request_id="again")

        engine.database.hook = None
        assert await engine.count_instances() == 0
        await engine.start("one", request_id="again")
        assert await engine.count_instances() == 1


class _Tries:
    """Counts how often a tree is locked."""

    def __init__(self, on_second: Callable[[], None]) -> None:
        self.locks = 0
        self._on_second = on_second

    def before_statement(self, number: int, text: str) -> None:
        if "for update" in text and "FROM instance" in text:
            self.locks += 1
            if self.locks == 2:
                self._on_second()

    def after_statement(self, number: int, text: str) -> None:
        """Nothing to do."""

    def commit_sent(self, number: int) -> None:
        """Nothing to do."""


class _Always(_Tries):
    """Every COMMIT meets a deadlock."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def before_statement(self, number: int, text: str) -> None:
        if text == "COMMIT":
            raise TransactionConflict("injected")


async def _is_ready(engine: Embedded) -> bool:
    try:
        await engine.service.probe()
    except Unavailable:
        return False
    return True


async def _until_ready(engine: Embedded, *, wanted: bool = True) -> None:
    """Ask for readiness again and again, as whoever watches over the process does."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            if await _is_ready(engine) is wanted:
                return
            await asyncio.sleep(0.02)


def _connect(url: str) -> Any:
    parsed = make_url(url)
    return pymysql.connect(host="127.0.0.1", port=parsed.port or 0, user="root", database=parsed.database)


def _starts(url: str) -> int:
    """How many starts the outbox knows."""
    with contextlib.closing(_connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM outbox WHERE request_id LIKE 'start-%'")
        return int(cursor.fetchone()[0])
