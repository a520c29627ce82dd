"""Whoever dies or loses the database at any point loses no message, and sends at most the one under way twice."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from email.message import EmailMessage
from typing import Any

from mesh.clock import SystemClock
from mesh.db.errors import ConnectionLost
from mesh.paging import Page
from notify.app.notifications import DeliveryFilter
from notify.model.names import SENT
from notify.storage.migrate import MIGRATIONS
from notify.storage.queries import Queries
from tests.notify.smtp import MailServer
from tests.notify.test_reminders import ASSIGNED, OPEN
from tests.notify.test_storage import Store, _delivery
from tests.notify.worlds import Running, World, eventually

LEASE_SECONDS = 2.0
MAILS = 30
KILLS = 2


class Killed:
    """A process that is killed when the mail server has taken a mail, before or just after it says so."""

    def __init__(self, url: str, mail: MailServer, seed: int) -> None:
        self._command = [sys.executable, "-m", "tests.notify.sending_process", url, str(mail.port), str(LEASE_SECONDS)]
        self._random = random.Random(seed)
        self._left = KILLS
        self._until_kill = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        mail.on_mail = self._on_mail

    def start(self) -> None:
        self._until_kill = self._random.randint(1, 4)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def keep_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _on_mail(self, _: EmailMessage) -> None:
        """In the mail server's thread, when the mail is complete and not yet answered."""
        self._until_kill -= 1
        if self._until_kill or not self._left:
            return
        self._left -= 1
        assert self._process is not None
        pid = self._process.pid
        if self._random.random() < 0.5:
            self._kill(pid)
        else:
            threading.Timer(self._random.random() * 0.02, self._kill, (pid,)).start()

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1


async def test_kill_9_between_sending_and_writing_loses_nothing_and_repeats_at_most_what_was_under_way(
    url: str, mail: MailServer
) -> None:
    store = Store(url)
    await asyncio.to_thread(MIGRATIONS.upgrade, store.database)
    address = "kermit@muppets.example"
    context = {"event": "message", "message": {"subject": "Hello", "text": "There", "html": ""}}
    # Of today: what is older than the retention is forgotten.
    now = SystemClock().now()
    fields = {"address": address, "language": "en", "context": context, "created_at": now, "due_at": now}
    made = [_delivery(n, **fields) for n in range(MAILS)]
    await store.deliveries.add(made, "")
    killed = Killed(url, mail, seed=MAILS)
    queries = Queries(store.database)

    async def all_are_sent() -> bool:
        killed.keep_alive()
        await asyncio.sleep(0.05)
        return (await queries.deliveries(DeliveryFilter(state=SENT), Page())).total == MAILS

    killed.start()
    try:
        await eventually(all_are_sent, "all mails to be sent")
    finally:
        killed.stop()
        await store.close()

    took = Counter(mail["Message-ID"] for mail in mail.mails)
    assert set(took) == {one.message_id("flowloom.test") for one in made}
    assert killed.kills == KILLS
    assert sum(took.values()) - MAILS <= KILLS
    assert max(took.values()) <= 1 + KILLS


class Unsteady:
    """A `StatementHook`: now and then the connection breaks, before or after a statement or when a COMMIT was sent."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.broken = 0

    def before_statement(self, number: int, text: str) -> None:
        self._maybe(f"before {text}")

    def after_statement(self, number: int, text: str) -> None:
        self._maybe(f"after {text}")

    def commit_sent(self, number: int) -> None:
        self._maybe("COMMIT sent")

    def _maybe(self, where: str) -> None:
        if self._random.random() < 0.04:
            self.broken += 1
            raise ConnectionLost(f"broken {where}")


async def test_a_database_that_breaks_again_and_again_loses_and_repeats_nothing(small_world: World) -> None:
    world = small_world
    for name in ("fozzie", "piggy", "link"):
        world.identity.add(name, *(() if name == "fozzie" else ("pigs",)))
    world.engine.deploy(OPEN)
    for n in range(12):
        world.engine.start("p", business_key=f"order-{n}")
    notify = await world.start()
    unsteady: Any = Unsteady(seed=7)
    notify.service._database.hook = unsteady
    for n in range(8):
        world.engine.start("p", business_key=f"more-{n}")

    await eventually(lambda: unsteady.broken >= 25, "the connection to break often")
    notify.service._database.hook = None
    await notify.caught_up()
    await eventually(lambda: _rests(notify), "the workers to rest")
    # What was leased by a COMMIT whose answer got lost waits for the end of the lease.
    world.later(seconds=300)
    await notify.settled()

    deliveries = await notify.deliveries()
    assert Counter(row.state for row in deliveries) == {"sent": 3 * 20}
    assert Counter(mail["Message-ID"] for mail in world.mail.mails) == Counter(row.message_id for row in deliveries)


async def test_two_replicas_share_the_work_and_send_nothing_twice(world: World) -> None:
    for name in ("fozzie", "piggy", "link"):
        world.identity.add(name, *(() if name == "fozzie" else ("pigs",)))
    world.engine.deploy(OPEN)
    first, second = await world.start(), Running(world, world.settings())
    world.running.append(second)
    await second.start()
    for n in range(20):
        world.engine.start("p", business_key=f"order-{n}")

    await first.settled()

    deliveries = await second.deliveries()
    assert {row.state for row in deliveries} == {"sent"}
    assert Counter(mail["Message-ID"] for mail in world.mail.mails) == Counter(row.message_id for row in deliveries)
    assert len(deliveries) == 60


def _rests(notify: Running) -> bool:
    """Nothing is under way whose lease would run out if the clock were moved."""
    service = notify.service
    return service._planning.is_resting and service._sending.is_resting and not service._sender._under_way


class Once:
    """A `StatementHook` that notes every statement, and breaks the connection once: at the nth of a text."""

    def __init__(self, phase: str = "", text: str = "", nth: int = 1) -> None:
        self._target = (phase, text)
        self._left = nth
        self.seen: Counter[str] = Counter()
        self.has_broken = False

    def before_statement(self, number: int, text: str) -> None:
        self.seen[text] += 1
        self._maybe("before", text)

    def after_statement(self, number: int, text: str) -> None:
        self._maybe("after", text)

    def commit_sent(self, number: int) -> None:
        self._maybe("sent", "COMMIT")

    def _maybe(self, phase: str, text: str) -> None:
        if (phase, text) == self._target and not self.has_broken:
            self._left -= 1
            if not self._left:
                self.has_broken = True
                raise ConnectionLost(f"broken {phase} {text}")


async def test_a_connection_that_breaks_at_each_statement_once_loses_and_repeats_nothing(world: World) -> None:
    world.identity.add("kermit")
    world.engine.deploy(ASSIGNED)
    notify = await world.start()
    database = notify.service._database

    async def one_more(hook: Any) -> None:
        database.hook = hook
        world.engine.start("p")
        expected = len(world.engine.trees)

        async def is_over() -> bool:
            due = await notify.service._queries.due(world.clock.now())
            return hook.has_broken or (len(world.mail.mails) == expected and due == (0, 0))

        await eventually(is_over, "a break or a mail")
        database.hook = None
        await notify.caught_up()
        await eventually(lambda: _rests(notify), "the workers to rest")
        # What was leased by a COMMIT whose answer got lost waits for the end of the lease.
        world.later(seconds=300)
        await notify.settled()
        assert len(world.mail.mails) == expected, f"{hook._target}: found {len(world.mail.mails)} mails of {expected}"

    dry = Once()
    await one_more(dry)
    pruning = ("created_at <", "answered_at <")
    texts = [text for text in dry.seen if text != "COMMIT" and not any(word in text for word in pruning)]
    targets = [(phase, text, 1) for text in texts for phase in ("before", "after")]
    targets += [(phase, "COMMIT", nth) for nth in range(1, 6) for phase in ("before", "sent", "after")]
    broken = 0
    for phase, text, nth in targets:
        hook = Once(phase, text, nth)
        await one_more(hook)
        broken += hook.has_broken

    assert broken == len(targets) > 30
    assert max(Counter(mail["Message-ID"] for mail in world.mail.mails).values()) == 1
    assert {row.state for row in await notify.deliveries()} == {"sent"}
