"""`python -m tests.faults.crashes URL [kind…]`: lets an engine die at every SQL statement of every kind of command.

For each statement a process of its own is forked, which kills itself before it, after it, or between a COMMIT and its
answer. A fresh engine then finds the database as if the command had never been sent, or had been sent once; sent again
with the same request id the command gets the one right answer, and was carried out once. Then the same with an engine
that lives on and loses only its connection, or meets a deadlock.

Prints one JSON object for each kind. There must be no thread at the moment of a fork, hence a process of its own.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from mesh.clock import ManualClock
from mesh.db.migrations import Migrations
from tests.faults.embedded import START, Embedded, build, settings_for
from tests.faults.kinds import KINDS, Facts, Kind
from tests.faults.shim import Fault, Harm, Moment, Seen, Shim
from tests.faults.stores import Picture, Rows, Store, picture

LATER = timedelta(hours=2)
"""By how much commands come after what was prepared for them: timers of an hour are due then."""
CASE_SECONDS = 20


@dataclass(slots=True)
class Result:
    """What was found of a kind of command. `points`: how many faults of each harm were tried."""

    kind: str
    statements: int = 0
    points: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A kind's clean run: the database before and after it, its statements and its answer."""

    facts: Facts
    rows: Rows
    before: Picture
    after: Picture
    seen: tuple[Seen, ...]
    answer: str


class Crashes:
    """All faults of one kind of command on one database."""

    def __init__(self, url: str, kind: Kind) -> None:
        self._url = url
        self._store = Store(url)
        self._kind = kind
        self._result = Result(kind.name)

    def run(self) -> Result:
        began = time.monotonic()
        reference = self._reference()
        self._result.statements = len(reference.seen)
        victim = self._engine()
        for fault in _deaths(reference.seen):
            self._try(fault, reference, lambda fault=fault: self._die(victim, fault, reference))
        for fault in _failures(reference.seen):
            self._try(fault, reference, lambda fault=fault: self._live(fault, reference))
        self._result.seconds = round(time.monotonic() - began, 2)
        return self._result

    def _engine(self, *, later: bool = True) -> Embedded:
        return build(settings_for(self._url), ManualClock(START + LATER if later else START))

    def _find(self, fault: Fault, seen: tuple[Seen, ...], what: str) -> None:
        self._result.findings.append(f"{self._kind.name}: {fault} ({seen[fault.number - 1].text[:80]}): {what}")

    # --- the clean run ----------------------------------------------------------------------------------------------

    def _reference(self) -> Reference:
        self._store.put_back(dict.fromkeys(self._store.rows(), ()))
        facts = _run(self._prepare())
        rows = self._store.rows()
        answers, seen = [], []
        for _ in range(2):
            self._store.put_back(rows)
            shim = Shim()
            answers.append(_run(self._clean(facts, shim)))
            seen.append(tuple(shim.seen))
            after = picture(self._store.rows())
        if [one.text for one in seen[0]] != [one.text for one in seen[1]]:
            self._result.findings.append(f"{self._kind.name}: expected the same statements each time, found others")
        return Reference(
            facts=facts, rows=rows, before=picture(rows), after=after, seen=seen[-1], answer=after.of(answers[-1])
        )

    async def _prepare(self) -> Facts:
        engine = self._engine(later=False)
        await engine.begin()
        try:
            return await self._kind.prepare(engine)
        finally:
            await engine.end()

    async def _clean(self, facts: Facts, shim: Shim) -> str:
        engine = self._engine()
        await engine.begin()
        try:
            shim.attach(engine.database)
            answer = _spell(await self._kind.send(engine, facts))
            await self._settle(engine)
            noted = list(shim.seen)
            self._result.findings += [f"{self._kind.name}: clean run: {found}" for found in await engine.findings()]
            shim.seen = noted
            return answer
        finally:
            await engine.end()

    # --- death ------------------------------------------------------------------------------------------------------

    def _try(self, fault: Fault, reference: Reference, happen: Any) -> None:
        points = self._result.points
        points[fault.harm.value] = points.get(fault.harm.value, 0) + 1
        self._store.put_back(reference.rows)
        try:
            happen()
        except Exception as error:
            self._find(fault, reference.seen, f"{type(error).__name__}: {error}")

    def _die(self, victim: Embedded, fault: Fault, reference: Reference) -> None:
        assert threading.active_count() == 1, "expected no thread at a fork"
        child = os.fork()
        if child == 0:
            signal.alarm(CASE_SECONDS)
            gc.disable()
            shim = Shim(fault)
            try:
                _run(self._dying(victim, reference.facts, shim))
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            raise AssertionError(f"expected the process to die at the statement, found status {status}")
        self._store.await_rollback()
        _run(self._again(fault, reference))

    async def _dying(self, engine: Embedded, facts: Facts, shim: Shim) -> None:
        await engine.begin()
        shim.attach(engine.database)
        await self._kind.send(engine, facts)
        await self._settle(engine)

    async def _again(self, fault: Fault, reference: Reference) -> None:
        engine = self._engine()
        await engine.begin()
        try:
            await self._settle(engine)
            found = picture(self._store.rows())
            if found not in (reference.before, reference.after) and not self._kind.steps:
                self._find(
                    fault,
                    reference.seen,
                    "expected the state of never sent or of sent once, found neither: "
                    f"{reference.before.difference(found)} from before, {reference.after.difference(found)} from after",
                )
            await self._expect_once(engine, fault, reference, "sent again")
        finally:
            await engine.end()

    # --- living on --------------------------------------------------------------------------------------------------

    def _live(self, fault: Fault, reference: Reference) -> None:
        _run(self._living(fault, reference))

    async def _living(self, fault: Fault, reference: Reference) -> None:
        engine = self._engine()
        await engine.begin()
        try:
            shim = Shim(fault)
            shim.attach(engine.database)
            try:
                await self._expect_once(engine, fault, reference, "while it happened")
            except grpc.aio.AioRpcError as error:
                # A pooled connection that was lost is told as such, and so is the COMMIT of a lease; a command's never.
                may_fail = reference.seen[fault.number - 1].pooled or self._kind.leases
                if error.code() is not grpc.StatusCode.UNAVAILABLE or fault.harm is not Harm.LOSS or not may_fail:
                    raise
                await self._expect_once(engine, fault, reference, "sent again")
            if not shim.happened:
                self._find(fault, reference.seen, "expected it to happen, found it did not")
        finally:
            await engine.end()

    # --- both -------------------------------------------------------------------------------------------------------

    async def _settle(self, engine: Embedded) -> None:
        """Wait until what was thrown has arrived."""
        until = time.monotonic() + CASE_SECONDS
        while self._store.has_deliveries() and time.monotonic() < until:
            await engine.service._commit.transact(lambda _: None)

    async def _expect_once(self, engine: Embedded, fault: Fault, reference: Reference, when: str) -> None:
        answer = _spell(await self._kind.send(engine, reference.facts))
        await self._settle(engine)
        found = picture(self._store.rows())
        until = time.monotonic() + CASE_SECONDS / 2
        while self._kind.looks and found != reference.after and time.monotonic() < until:
            # The server may not have noticed yet that a connection is lost: its rows are passed over until it has.
            await self._kind.send(engine, reference.facts)
            found = picture(self._store.rows())
        if found != reference.after:
            difference = reference.after.difference(found)
            self._find(fault, reference.seen, f"{when}: expected the state of sent once, found {difference}")
        if found.of(answer) != reference.answer:
            self._find(
                fault, reference.seen, f"{when}: expected the answer {reference.answer}, found {found.of(answer)}"
            )
        # The same picture as the clean run's needs no more checking than that one had, but for where it matters most.
        at_commit = fault.harm is Harm.DEATH and reference.seen[fault.number - 1].commit
        for finding in await engine.findings() if at_commit or found != reference.after else ():
            self._find(fault, reference.seen, f"{when}: the check finds {finding}")


def _deaths(seen: tuple[Seen, ...]) -> Iterator[Fault]:
    for number, statement in enumerate(seen, 1):
        yield Fault(number=number, moment=Moment.BEFORE, harm=Harm.DEATH)
        if statement.commit:
            yield Fault(number=number, moment=Moment.UNANSWERED, harm=Harm.DEATH)
        yield Fault(number=number, moment=Moment.AFTER, harm=Harm.DEATH)


def _failures(seen: tuple[Seen, ...]) -> Iterator[Fault]:
    """A read on a pooled connection is left out: it fails as a whole, and the pool's own tests say how."""
    for number, statement in enumerate(seen, 1):
        if statement.pooled and statement.text.startswith("SELECT"):
            continue
        if statement.commit:
            yield Fault(number=number, moment=Moment.BEFORE, harm=Harm.LOSS)
            yield Fault(number=number, moment=Moment.UNANSWERED, harm=Harm.LOSS)
        else:
            yield Fault(number=number, moment=Moment.AFTER, harm=Harm.LOSS if number % 2 else Harm.CONFLICT)


def _spell(answer: Any) -> str:
    if isinstance(answer, Message):
        return f"{type(answer).__name__} {json.dumps(json_format.MessageToDict(answer), sort_keys=True)}"
    return json.dumps([_spell(part) for part in answer]) if isinstance(answer, list) else str(answer)


def _run(work: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(CASE_SECONDS):
            return await work

    return asyncio.run(bounded())


def main(arguments: list[str]) -> int:
    url, *names = arguments
    logging.disable(logging.CRITICAL)
    # No website is asked for anything here: reading all the world's certificates for each engine is for nothing.
    vars(ssl)["create_default_context"] = functools.cache(ssl.create_default_context)
    _run(_create(url))
    # The tables are there; looking for migrations takes longer than most commands.
    migrations: Any = Migrations
    migrations.upgrade = lambda *_: None
    gc.freeze()
    failed = False
    for name in names or KINDS:
        result = Crashes(url, KINDS[name]).run()
        failed = failed or bool(result.findings)
        print(json.dumps(asdict(result)), flush=True)
    return 1 if failed else 0


async def _create(url: str) -> None:
    engine = build(settings_for(url))
    await engine.begin()
    await engine.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
