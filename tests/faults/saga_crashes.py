"""`python -m tests.faults.saga_crashes URL FOLDER [most]`: kills an engine between any two lines of its sagas' logs.

Each time an engine of a process of its own starts three instances, whose participants confirm, lose an answer, or fail
for good, and dies before or behind the n-th COMMIT that writes such lines. Another one, whose clock is further on than
any lease, goes on from what it finds. Then every saga is COMPLETED or COMPENSATED, no effect happened twice, what was
done was taken back in reverse order, and the check finds nothing. n grows until an engine lives to the end.

The participants are a process of their own with a database of their own. Prints one JSON object. There must be no
thread at the moment of a fork, hence a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import saga_service_pb2 as pb
from flowloom.engine.v1.saga_service_pb2_grpc import SagaServiceStub

from engine.app.sagas.settings import SagaSettings
from engine.service import EngineService
from mesh.clock import SystemClock
from tests.engine.sagas.world import EFFECTS, Participant, Trouble, own_database, serving, settings_for
from tests.faults import models
from tests.faults.embedded import Embedded

KEYS: Final = ("good", "lost", "bad")
CASE_SECONDS: Final = 60.0
MOST: Final = 400
QUICK: Final = SagaSettings(retry_seconds=0.001, look_seconds=0.02, lease_seconds=30.0, grace_seconds=0.1)
NAMES: Final = ("archive", "billing")


class LaterClock(SystemClock):
    """The computer's clock, further on than the leases of whoever died."""

    def now(self) -> datetime:
        """The present moment, and two minutes."""
        return super().now() + timedelta(minutes=2)


# --- the participants -------------------------------------------------------------------------------------------------


class Capricious(Participant):
    """Fails by the instance's business key, always after its effect: that is where a repetition would show."""

    def acted(self, request: Any, action: str) -> None:
        """Called behind an effect."""
        key = request.data["business_key"]
        if (
            self.name == "billing"
            and action == "execute"
            and (key == "bad" or (key == "lost" and request.attempt == 1))
        ):
            raise Trouble(key)


async def participate(folder: Path) -> None:
    """Serve until killed; the address is told in a file."""
    database = own_database(folder / "effects.db")
    async with serving({name: Capricious(name, database) for name in NAMES}) as address:
        (folder / "address.part").write_text(address)
        (folder / "address.part").rename(folder / "address")
        await asyncio.Event().wait()


# --- death ------------------------------------------------------------------------------------------------------------


class Reaper:
    """A `StatementHook`: kills the process before (odd numbers) or behind (even) a COMMIT that writes lines of logs."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._reached = 0
        self._lock = threading.Lock()
        self._present = threading.local()

    def before_statement(self, number: int, text: str) -> None:
        if "transaction_log" in text:
            self._present.writes = True
        elif text == "COMMIT" and getattr(self._present, "writes", False):
            self._reach()

    def commit_sent(self, number: int) -> None:
        pass

    def after_statement(self, number: int, text: str) -> None:
        if text == "COMMIT" and getattr(self._present, "writes", False):
            self._present.writes = False
            self._reach()

    def _reach(self) -> None:
        with self._lock:
            self._reached += 1
            if self._reached == self._number:
                os.kill(os.getpid(), signal.SIGKILL)


# --- engines ----------------------------------------------------------------------------------------------------------


def _engine(url: str, clock: SystemClock) -> Embedded:
    return Embedded(EngineService(settings_for(url, QUICK), clock=clock), clock)


async def _prepare(url: str, address: str) -> None:
    engine = _engine(url, SystemClock())
    await engine.begin()
    await engine.deploy(models.STRAIGHT)
    for position, name in enumerate(NAMES):
        request = pb.RegisterSagaParticipantRequest(name=name, target=address, position=position, tries=2)
        await SagaServiceStub(engine.channel).RegisterSagaParticipant(request)
    await engine.end()


async def _live(url: str, number: int) -> None:
    """Start the instances and let their sagas come to their end, or die on the way."""
    engine = _engine(url, SystemClock())
    await engine.begin()
    engine.database.hook = Reaper(number)
    for key in KEYS:
        await engine.start("straight", business_key=key, request_id=f"{number}-{key}")
    await _over(engine)
    await engine.end()


async def _survive(url: str, number: int, report: Path) -> None:
    """Send again what may have been lost, and go on with what is there."""
    engine = _engine(url, LaterClock())
    await engine.begin()
    ids = {key: await engine.start("straight", business_key=key, request_id=f"{number}-{key}") for key in KEYS}
    await _over(engine)
    stub: Any = SagaServiceStub(engine.channel)
    states = {key: (await stub.GetSaga(pb.GetSagaRequest(saga_id=ids[key]))).state for key in KEYS}
    check = await engine.management.CheckConsistency(management_pb.CheckConsistencyRequest())
    findings = [f"{found.rule}: {found.message}" for found in check.findings]
    await engine.end()
    told = json.dumps({"states": states, "ids": ids, "findings": findings})
    await asyncio.to_thread(report.write_text, told)


async def _over(engine: Embedded) -> None:
    stub: Any = SagaServiceStub(engine.channel)
    async with asyncio.timeout(CASE_SECONDS):
        while (await stub.ListSagas(pb.ListSagasRequest(open=True, size=0))).total:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _forked(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run in a process of its own; returns how that ended."""
    assert threading.active_count() == 1, "expected no thread at a fork"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(int(CASE_SECONDS * 2))
            asyncio.run(work())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


# --- what is found ----------------------------------------------------------------------------------------------------


def _judge(number: int, found: dict[str, Any], effects: list[tuple[str, str, str]]) -> list[str]:
    """What must not be, said of one death."""
    findings = [f"{number}: {finding}" for finding in found["findings"]]
    for key, saga_id in found["ids"].items():
        mine = [(name, action) for name, saga, action in effects if saga == saga_id]
        forwards = [(name, "execute") for name in NAMES]
        backwards = [(name, "compensate") for name in reversed(NAMES)]
        expected = (forwards + backwards, "COMPENSATED") if key == "bad" else (forwards, "COMPLETED")
        if (mine, found["states"][key]) != expected:
            findings.append(f"{number}, {key}: expected {expected}, found {mine}, {found['states'][key]}")
    return findings


def _effects(folder: Path) -> list[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(folder / "effects.db", timeout=30)) as connection:
        return list(connection.execute(f"SELECT participant, saga_id, action FROM {EFFECTS.name} ORDER BY number"))


def run(url: str, folder: Path, most: int) -> dict[str, Any]:
    """Kill until one lives to the end, or so often."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.faults.saga_crashes", "participants", str(folder)]
    participants = subprocess.Popen(command)
    deaths, findings, completed = 0, [], False
    try:
        while not (folder / "address").exists():
            assert participants.poll() is None, "the participants did not start"
            time.sleep(0.05)
        address = (folder / "address").read_text()
        assert _forked(partial(_prepare, url, address)) == 0, "the engine did not start"
        for number in range(1, most + 1):
            status = _forked(partial(_live, url, number))
            if status == 0:
                completed = True
                break
            deaths += 1
            if not os.WIFSIGNALED(status):
                findings.append(f"{number}: expected the engine to be killed, found exit status {status}")
            report = folder / "report"
            report.unlink(missing_ok=True)
            _forked(partial(_survive, url, number, report))
            if not report.exists():
                findings.append(f"{number}: expected the next engine to come to the end, found it did not")
                continue
            findings += _judge(number, json.loads(report.read_text()), _effects(folder))
        repeated = [key for key, count in Counter(_effects(folder)).items() if count > 1]
        findings += [f"repeated effect: {key}" for key in repeated]
    finally:
        participants.kill()
        participants.wait()
    return {
        "deaths": deaths,
        "completed": completed,
        "seconds": round(time.monotonic() - began, 1),
        "findings": findings,
    }


def main(arguments: list[str]) -> None:
    if arguments[0] == "participants":
        asyncio.run(participate(Path(arguments[1])))
        return
    url, folder = arguments[0], Path(arguments[1])
    print(json.dumps(run(url, folder, int(arguments[2]) if len(arguments) > 2 else MOST)))


if __name__ == "__main__":
    main(sys.argv[1:])
