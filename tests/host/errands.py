"""Work for a mesh of processes, over REST through its edge, and the book of what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import mailbox
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias

import httpx

from tests.host.processes import LONGEST_SECONDS, LOOK_SECONDS, PASSWORD, Processes

PAUSE_SECONDS: Final = 0.1
"""Between what one client asks: the load is a light one."""
API: Final = "/process-api"
CLERK: Final = "maria"
MODEL: Final = b"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
             targetNamespace="errands">
  <process id="errand" isExecutable="true">
    <startEvent id="start"/><sequenceFlow id="a" sourceRef="start" targetRef="run"/>
    <userTask id="run" name="Run ${errand}" flowable:assignee="${clerk}"/>
    <sequenceFlow id="b" sourceRef="run" targetRef="end"/><endEvent id="end"/>
  </process>
</definitions>
"""
Ask: TypeAlias = Callable[..., Awaitable[httpx.Response]]
"""Asks with a method, a path, a body and a query."""
AWAY: Final = httpx.codes.SERVICE_UNAVAILABLE


class Unanswered(Exception):
    """An answer that was not the one to be had."""


class Errands:
    """The administrator at work: an errand is an instance that is started and whose one task is completed."""

    def __init__(self, mesh: Processes, rest: httpx.AsyncClient) -> None:
        self._mesh = mesh
        self._rest = rest
        self._numbers = itertools.count(1)
        self.headers: dict[str, str] = {}

    async def log_in(self) -> int:
        """Log the administrator in; return the status."""
        body = {"userId": "admin", "password": PASSWORD}
        answer = await self._rest.post("/identity-api/login", json=body)
        if answer.status_code == httpx.codes.OK:
            self.headers = {"authorization": f"Bearer {answer.json()['accessToken']}"}
        return answer.status_code

    async def deploy(self) -> None:
        files = {"file": ("errand.bpmn20.xml", MODEL, "application/octet-stream")}
        answer = await self._rest.post(f"{API}/repository/deployments", files=files, headers=self.headers)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        """Ask once."""
        return await self._rest.request(method, path, json=body, params=query, headers=self.headers)

    async def get(self, path: str, **query: str) -> Any:
        """Ask once, and expect an answer."""
        answer = await self.ask("GET", path, **query)
        if answer.status_code != httpx.codes.OK:
            raise Unanswered(f"GET {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def begin(self, key: str, *, clerk: str = "", ask: Ask | None = None) -> str:
        """Start an errand and return its task. Without another `ask`, each request is made once."""
        ask = ask or self.ask
        values = [{"name": "clerk", "value": clerk}, {"name": "errand", "value": key}]
        body = {"processDefinitionKey": "errand", "businessKey": key, "variables": values, "requestId": f"{key}-start"}
        started = await ask("POST", f"{API}/runtime/process-instances", body)
        if started.status_code != httpx.codes.CREATED:
            raise Unanswered(f"start {key}: {started.status_code} {started.text}")
        found = await ask("GET", f"{API}/runtime/tasks", processInstanceId=started.json()["id"])
        if found.status_code != httpx.codes.OK:
            raise Unanswered(f"task of {key}: {found.status_code} {found.text}")
        (task,) = found.json()["data"]
        return str(task["id"])

    async def end(self, key: str, task_id: str, ask: Ask | None = None) -> None:
        """Complete an errand's task and enter it into the book."""
        body = {"requestId": f"{key}-complete"}
        done = await (ask or self.ask)("POST", f"{API}/runtime/tasks/{task_id}:complete", body)
        if done.status_code != httpx.codes.OK:
            raise Unanswered(f"complete {key}: {done.status_code} {done.text}")
        self._mesh.book.append(key)

    async def run(self, key: str, ask: Ask | None = None) -> None:
        """Run one errand."""
        await self.end(key, await self.begin(key, ask=ask), ask)

    async def run_some(self, name: str, count: int, ask: Ask | None = None) -> None:
        """Run so many at once."""
        await asyncio.gather(*(self.run(f"{name}-{n}", ask) for n in range(count)))

    async def insist(self, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        """Ask until there is an answer, as a client does that keeps its request_id."""
        give_up_at = time.monotonic() + LONGEST_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.ask(method, path, body, **query)
                if answer.status_code not in (AWAY, httpx.codes.GATEWAY_TIMEOUT):
                    return answer
            if time.monotonic() > give_up_at:
                raise Unanswered(f"{method} {path} within {LONGEST_SECONDS} s")
            await asyncio.sleep(LOOK_SECONDS)

    @contextlib.asynccontextmanager
    async def under_load(self, name: str, ask: Ask | None = None) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Two run errands and two read, until the end; the value waits for so many more errands and reads.

        Raises what any of them raises: a reader expects every answer, whoever runs errands too without another `ask`.
        """
        done: Counter[str] = Counter()
        over = asyncio.Event()

        async def runner(who: int) -> None:
            for n in itertools.count():
                if over.is_set():
                    return
                await self.run(f"{name}-{who}-{n}", ask)
                done["errand"] += 1
                await asyncio.sleep(PAUSE_SECONDS)

        async def reader() -> None:
            while not over.is_set():
                await self.get(f"{API}/runtime/tasks")
                done["read"] += 1
                await asyncio.sleep(PAUSE_SECONDS)

        async with asyncio.TaskGroup() as group:
            for task in (runner(1), runner(2), reader(), reader()):
                group.create_task(task)

            async def more(count: int) -> None:
                wanted = {kind: done[kind] + count for kind in ("errand", "read")}
                while any(done[kind] < number for kind, number in wanted.items()):  # noqa: ASYNC110 - they only count
                    await asyncio.sleep(LOOK_SECONDS)

            await more(5)
            yield more
            over.set()

    async def until_told(self) -> None:
        """Wait until history has every errand in the book, over and exactly once."""
        await eventually(self._is_told)

    async def _is_told(self) -> bool:
        answer = await self.insist(
            "GET",
            f"{API}/history/historic-process-instances",
            processDefinitionKey="errand",
            size=str(10 * len(self._mesh.book) + 10),
        )
        found = Counter(each["businessKey"] for each in answer.json()["data"] if "endTime" in each)
        assert max(found.values(), default=1) == 1, found.most_common(3)
        return set(self._mesh.book) <= set(found)

    def mails(self) -> Counter[str]:
        """How many mails there are, by subject."""
        if not (self._mesh.mail / "new").is_dir():
            return Counter()
        return Counter(str(mail["Subject"]) for mail in mailbox.Maildir(self._mesh.mail, create=False))


@contextlib.asynccontextmanager
async def errands_at(mesh: Processes) -> AsyncIterator[Errands]:
    """Somebody who is logged in as the administrator."""
    async with httpx.AsyncClient(base_url=mesh.edge, timeout=LONGEST_SECONDS, trust_env=False) as rest:
        found = Errands(mesh, rest)
        found.headers = dict(mesh.headers)
        if not found.headers:
            assert await found.log_in() == httpx.codes.OK
            mesh.headers = found.headers
            await found.deploy()
        yield found


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what other processes do, and tell nobody of."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while not await holds():  # noqa: ASYNC110 - as it says
            await asyncio.sleep(LOOK_SECONDS)
