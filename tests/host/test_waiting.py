"""A service waits for its database, and says for good what it will never get."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.waiting import until_database
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    with running_mariadb() as found:
        yield found


@pytest.fixture
async def ended() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@pytest.mark.mariadb
async def test_a_database_that_comes_back_is_waited_for(
    server: MariaDb, ended: asyncio.Future[Any], caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    waiting = asyncio.create_task(until_database(server.url(), ended))
    async with asyncio.timeout(60):
        while not caplog.messages:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)

    await asyncio.to_thread(server.start)

    assert await waiting is True
    assert all(line.startswith("waiting for the database") for line in caplog.messages)


async def test_a_process_that_is_told_to_end_waits_no_more(ended: asyncio.Future[Any]) -> None:
    waiting = asyncio.create_task(until_database("mysql://root@127.0.0.1:9/nowhere", ended))
    await asyncio.sleep(0)

    ended.set_result(None)

    assert await waiting is False


@pytest.mark.mariadb
async def test_a_database_that_does_not_exist_is_not_waited_for(server: MariaDb, ended: asyncio.Future[Any]) -> None:
    server.start()

    with pytest.raises(RuntimeError, match=r"expected the database to let this service in, found .*Unknown database"):
        await until_database(server.url("of_nobody"), ended)


async def test_a_file_is_there(tmp_path: Path, ended: asyncio.Future[Any]) -> None:
    assert await until_database(f"sqlite:///{tmp_path}/found.db", ended)
