"""When the database fails: nothing acknowledged is lost, nothing happens twice, and all goes on by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.app.group_commit import GroupCommit, GroupCommitSettings
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.storage import tables
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.db.errors import ConnectionLost, DuplicateKey, TransactionConflict
from mesh.errors import ResourceExhausted, Unavailable
from mesh.testing.mariadb import running_mariadb
from tests.engine.storage.support import ONE_TASK, TWO_TASKS, Bench, fresh_database, running


class Trouble:
    """Raises at the n-th call of one of the hook's places, once; counts all calls."""

    def __init__(self, place: str = "", number: int = 0, error: type[Exception] = ConnectionLost) -> None:
        self.calls = 0
        self.texts: list[str] = []
        self._place = place
        self._left = number
        self._error = error

    def _at(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                raise self._error("on purpose")

    def before_statement(self, number: int, text: str) -> None:
        self.calls += 1
        self.texts.append(text)
        self._at("before")

    def after_statement(self, number: int, text: str) -> None:
        self._at("after")

    def commit_sent(self, number: int) -> None:
        self._at("sent")


async def _statements(bench: Bench, act: Any) -> list[str]:
    watch = bench.database.hook = Trouble()
    await act()
    bench.database.hook = None
    return watch.texts


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("before", ConnectionLost),
        ("after", ConnectionLost),
        ("sent", ConnectionLost),
        ("before", TransactionConflict),
        ("after", TransactionConflict),
    ],
)
async def test_trouble_at_any_statement_is_not_seen_and_nothing_happens_twice(
    database: Database, place: str, error: type[Exception]
) -> None:
    async with running(database) as bench:
        definition = bench.define(TWO_TASKS)
        await bench.start(definition)
        count = len(await _statements(bench, lambda: bench.start(definition, request_id="0", a=1)))
        done = 2

        for number in range(1, 2 if place == "sent" else count + 1):
            if error is TransactionConflict and place == "after" and number == count:
                continue
            bench.database.hook = Trouble(place, number, error)
            instance = await bench.start(definition, request_id=f"s{number}", a=1)
            bench.database.hook = Trouble(place, number, error)
            await bench.complete(bench.task_of(instance), request_id=f"c{number}", b=2)
            bench.database.hook = None
            done += 1

            assert [row["element_id"] for row in bench.rows(tables.task, instance_id=instance)] == ["second"]
            assert sorted(row["name"] for row in bench.rows(tables.variable, root_id=instance)) == ["a", "b"]
            assert len(bench.rows(tables.outbox, root_id=instance)) == 2

        assert len(bench.rows(tables.instance)) == done


async def test_a_lost_answer_to_a_commit_is_looked_up_and_not_done_again(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        bench.database.hook = Trouble("sent", 1)

        instance = await bench.start(definition)

        bench.database.hook = None
        assert [row["id"] for row in bench.rows(tables.instance)] == [instance]


async def test_a_batch_that_keeps_failing_is_tried_in_halves_down_to_the_one_that_is_to_blame(
    database: Database,
) -> None:
    """A poisoned row makes its statement fail whatever is tried; the others of the batch do not notice."""
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        poison = cmd.StartProcess(definition_id=definition, variables={"v": Variable("no type" * 9, 1)})

        answers = await bench.together(
            *(bench.start(definition) for _ in range(5)),
            *([bench.group.submit(poison)] if not database.is_sqlite else []),
            *(bench.start(definition) for _ in range(5)),
        )

        started = [answer for answer in answers if isinstance(answer, str)]
        assert len(started) == 10
        assert sorted(row["id"] for row in bench.rows(tables.instance)) == sorted(started)
        if not database.is_sqlite:
            assert "Data too long" in str(answers[5])


async def test_a_key_that_stays_taken_does_not_loop_for_ever(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)

        class Always(Trouble):
            def before_statement(self, number: int, text: str) -> None:
                if "outbox" in text and "INSERT" in text:
                    raise DuplicateKey("on purpose")

        bench.database.hook = Always()
        with pytest.raises(Unavailable):
            await bench.start(definition)

        bench.database.hook = None
        await bench.start(definition)


async def test_conflicts_that_never_end_are_given_up_in_time(database: Database) -> None:
    async with running(database, conflict_seconds=0.05) as bench:
        definition = bench.define(ONE_TASK)

        class Always(Trouble):
            def before_statement(self, number: int, text: str) -> None:
                raise TransactionConflict("on purpose")

        bench.database.hook = Always()
        with pytest.raises(Unavailable):
            await bench.start(definition)
        bench.database.hook = None


@pytest.mark.mariadb
async def test_while_the_database_is_away_everybody_is_told_at_once_and_it_goes_on_when_it_is_back() -> None:
    with running_mariadb() as server, fresh_database(server.url()) as database:
        async with running(database) as bench:
            definition = bench.define(ONE_TASK)
            first = await bench.start(definition, request_id="1")
            server.kill()

            with pytest.raises(Unavailable):
                await bench.start(definition, request_id="2")
            assert bench.group.is_away
            before = asyncio.get_running_loop().time()
            for _ in range(100):
                with pytest.raises(Unavailable):
                    await bench.start(definition, request_id="2")
            assert asyncio.get_running_loop().time() - before < 1.0

            await asyncio.to_thread(server.start)
            again = await _when_back(bench, definition)

            assert {row["id"] for row in bench.rows(tables.instance)} == {first, again}
            assert await bench.start(definition, request_id="1") == first


async def _when_back(bench: Bench, definition: str) -> str:
    async with asyncio.timeout(20):
        while True:
            try:
                return await bench.start(definition, request_id="2")
            except Unavailable:
                await asyncio.sleep(0.02)


@pytest.mark.mariadb
async def test_commands_under_way_when_the_database_restarts_happen_once() -> None:
    with running_mariadb() as server, fresh_database(server.url()) as database:
        async with running(database) as bench:
            definition = bench.define(ONE_TASK)
            answered: set[str] = set()
            enough = asyncio.Event()

            async def client(number: int) -> None:
                for turn in range(10):
                    async with asyncio.timeout(30):
                        while True:
                            try:
                                answered.add(await bench.start(definition, request_id=f"{number}-{turn}"))
                                if len(answered) >= 20:
                                    enough.set()
                                break
                            except Unavailable:
                                await asyncio.sleep(0.02)

            clients = [asyncio.create_task(client(number)) for number in range(16)]
            await enough.wait()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await asyncio.gather(*clients)

            assert {row["id"] for row in bench.rows(tables.instance)} == answered
            assert len(answered) == 160


@pytest.mark.mariadb
async def test_a_database_that_is_away_from_the_start_is_used_when_it_comes() -> None:
    with running_mariadb() as server:
        with fresh_database(server.url()):
            pass
        server.kill()
        database = open_database(DatabaseSettings(url=server.url()))
        async with running(database, wait=False) as bench:
            with pytest.raises(Unavailable):
                await bench.start("one")
            await asyncio.to_thread(server.start)
            bench.define(ONE_TASK)

            assert await _when_back(bench, "one")
            assert not bench.group.is_away
        database.close()


@pytest.mark.mariadb
async def test_many_clients_of_two_processes_on_the_same_instance_see_no_conflict(mariadb: Database) -> None:
    async with running(mariadb, writers=2) as one, running(mariadb, writers=2) as other:
        definition = one.define(ONE_TASK)
        other.source.known = one.source.known
        instance = await one.start(definition)
        task = one.task_of(instance)

        def attempt(bench: Bench, n: int) -> Any:
            command = cmd.SetVariables(execution_id=instance, variables={f"v{n}": Variable("integer", n)})
            return bench.group.submit(command)

        await asyncio.gather(*(attempt(bench, n * 2 + k) for n in range(32) for k, bench in enumerate((one, other))))
        claims = await asyncio.gather(
            *(
                bench.group.submit(cmd.ClaimTask(task_id=task, assignee=f"u{n}-{k}"))
                for n in range(16)
                for k, bench in enumerate((one, other))
            ),
            return_exceptions=True,
        )

        assert len(one.rows(tables.variable)) == 64
        assert sum(claim == {} for claim in claims) == 1
        assert {getattr(claim, "reason", "won") for claim in claims} == {"won", "task-claimed"}


async def test_more_than_may_wait_is_refused(database: Database) -> None:
    async with running(database, queue_limit=3) as bench:
        definition = bench.define(ONE_TASK)

        answers = await bench.together(*(bench.start(definition) for _ in range(5)))

        assert [type(answer) for answer in answers] == [str] * 3 + [ResourceExhausted] * 2


async def test_stopping_carries_out_what_waits_and_refuses_what_comes(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        waiting = [asyncio.create_task(bench.start(definition)) for _ in range(20)]
        await asyncio.sleep(0)

        await bench.group.stop()

        assert len(await asyncio.gather(*waiting)) == 20
        with pytest.raises(Unavailable):
            await bench.start(definition)
        assert len(bench.rows(tables.instance)) == 20


async def test_what_never_started_can_be_stopped(database: Database) -> None:
    async with running(database) as bench:
        never = GroupCommit(lambda: SqlUnitOfWork(database), bench.world, GroupCommitSettings(), writers=1)

        await never.stop()


async def test_a_caller_that_gives_up_before_its_turn_changes_nothing(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        async with bench.one_batch():
            kept = asyncio.create_task(bench.start(definition))
            gone = asyncio.create_task(bench.start(definition))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)

        instance = await kept
        assert [row["id"] for row in bench.rows(tables.instance)] == [instance]
