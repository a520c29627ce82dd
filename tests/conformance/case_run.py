"""What one case knows while it runs: its instances by name, the tasks that it saw, the mesh, and how long to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.driver import Driver, Refused, Task
from tests.conformance.loading import Corpus

DEFAULT_INSTANCE: Final = "p"
NEVER_AN_ID: Final = "00000000-0000-7000-8000-000000000000"
FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.2


class Failed(Exception):
    """An expectation does not hold."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was expected and what was found; `final` where waiting for the history cannot change it."""

    expected: str
    found: str
    final: bool = True


@dataclass(slots=True, kw_only=True)
class CaseRun:
    """One case under way."""

    driver: Driver
    corpus: Corpus
    patience_seconds: float
    instances: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """The definition key of each instance that was started by key."""
    seen_tasks: dict[str, list[Task]] = field(default_factory=dict)
    """By instance name, every task that was once open: one that is gone still has to be refused by its id."""

    def instance(self, args: Mapping[str, Any]) -> str:
        """Return the id of the instance that a step is about. Raises Failed if none of that name was started."""
        name = str(args.get("in", DEFAULT_INSTANCE))
        if name not in self.instances:
            raise Failed(f"an instance started as '{name}'", f"only {sorted(self.instances) or 'none'}")
        return self.instances[name]

    async def open_tasks(self, args: Mapping[str, Any], deep: bool) -> list[Task]:
        """Return the open tasks of the step's instance, and remember them."""
        tasks = await self.driver.tasks(self.instance(args), deep)
        seen = self.seen_tasks.setdefault(str(args.get("in", DEFAULT_INSTANCE)), [])
        known = {task.id for task in seen}
        seen.extend(task for task in tasks if task.id not in known)
        return tasks


async def attempt(what: str, fails: str | None, act: Awaitable[object]) -> None:
    """Await the action. Raises Failed if it is refused against the case, or not refused with the code `fails`."""
    try:
        await act
    except Refused as refused:
        if fails is None:
            raise Failed(f"{what} to be done", str(refused)) from refused
        if refused.code != fails:
            raise Failed(f"{what} to be refused with {fails}", str(refused)) from refused
        return
    if fails is not None:
        raise Failed(f"{what} to be refused with {fails}", "it done")


async def until_holds(check: Callable[[], Awaitable[Mismatch | None]], patience_seconds: float) -> Mismatch | None:
    """Ask until the expectation holds, cannot hold any more, or patience is over; return the last mismatch."""
    give_up_at = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        mismatch = await check()
        if mismatch is None or mismatch.final or time.monotonic() >= give_up_at:
            return mismatch
        # The history follows the engine by itself and tells nobody, so it can only be asked again.
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
