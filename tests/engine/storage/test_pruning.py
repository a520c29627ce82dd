"""The outbox is cleared of rows that every group has read and that are too old for a retry."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from engine.storage.migrate import MIGRATIONS
from engine.storage.pruning import prune_business_events, prune_outbox
from engine.storage.relay_tables import business_event
from engine.storage.tables import bus_offset, outbox
from mesh.db.database import Database, DatabaseSettings, open_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(DatabaseSettings(url=f"sqlite:///{tmp_path}/engine.db"))
    MIGRATIONS.upgrade(found)
    yield found
    found.close()


def write(database: Database, ages: list[int]) -> None:
    with database.engine.begin() as connection:
        for number, hours in enumerate(ages, 1):
            connection.execute(
                insert(outbox).values(
                    sequence=number,
                    command_id=f"c{number}",
                    root_id="r",
                    tenant_id="",
                    request_id=None,
                    reply="{}",
                    events=b"",
                    created_at=NOW - timedelta(hours=hours),
                )
            )


def read_up_to(database: Database, **groups: int) -> None:
    with database.engine.begin() as connection:
        for name, sequence in groups.items():
            connection.execute(
                insert(bus_offset).values(consumer_group=name, partition=0, sequence=sequence, updated_at=NOW)
            )


def left(database: Database) -> list[int]:
    with database.reader.connect() as connection:
        return list(connection.execute(select(outbox.c.sequence).order_by(outbox.c.sequence)).scalars())


def prune(database: Database, *, relayed: bool = False) -> int:
    writer = database.writer()
    try:
        return prune_outbox(writer, NOW - timedelta(hours=1), relayed=relayed)
    finally:
        writer.close()


def test_old_rows_that_every_group_has_read_are_deleted(database: Database) -> None:
    write(database, [5, 4, 3, 0])
    read_up_to(database, history=4, billing=2)

    assert prune(database) == 2
    assert left(database) == [3, 4]


def test_rows_that_a_retry_may_ask_for_are_kept(database: Database) -> None:
    write(database, [5, 0, 0])
    read_up_to(database, history=3)

    assert prune(database) == 1
    assert left(database) == [2, 3]


def test_nothing_is_deleted_while_nobody_has_read(database: Database) -> None:
    write(database, [5, 5])

    assert prune(database) == 0
    assert left(database) == [1, 2]


def test_with_a_broker_nothing_goes_that_the_relay_has_not_shipped(database: Database) -> None:
    write(database, [5, 5, 5, 5])
    read_up_to(database, relay=2, history=4)

    assert prune(database, relayed=True) == 2
    assert left(database) == [3, 4]


def test_before_the_relay_has_shipped_anything_nothing_goes(database: Database) -> None:
    write(database, [5, 5])
    read_up_to(database, history=2)

    assert prune(database, relayed=True) == 0


def test_a_relay_of_former_times_holds_up_nothing_without_a_broker(database: Database) -> None:
    write(database, [5, 5, 5])
    read_up_to(database, relay=1, history=3)

    assert prune(database) == 3


def test_business_events_go_by_their_age(database: Database) -> None:
    with database.engine.begin() as connection:
        for hours in (30, 20, 1):
            connection.execute(
                insert(business_event).values(
                    topic="flowable.task.created",
                    event_id=f"e{hours}",
                    root_id="r",
                    payload=b"",
                    headers="{}",
                    occurred_at=NOW - timedelta(hours=hours),
                )
            )
    writer = database.writer()
    taken = prune_business_events(writer, NOW - timedelta(hours=10))
    writer.close()

    assert taken == 2
    with database.reader.connect() as connection:
        assert list(connection.execute(select(business_event.c.event_id)).scalars()) == ["e1"]
