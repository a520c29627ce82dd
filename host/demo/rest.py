"""REST calls that show themselves: each prints the curl line that does the same, and the answer."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

CALL_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
MAX_SHOWN: Final = 4
"""So many elements of a list are printed; the rest is counted."""

Json = Any


class DemoFailed(Exception):
    """Something did not come out as it should."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}, found {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file to send: its path as one would type it here, and its bytes."""

    path: str
    data: bytes

    @classmethod
    def read(cls, path: Path) -> LocalFile:
        return cls(path=os.path.relpath(path), data=path.read_bytes())


class ShownRest:
    """A client of the edge. `say` prints a line."""

    def __init__(
        self, base_url: str, say: Callable[[str], None], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` stands in for the network in tests."""
        self._base_url = base_url
        self._say = say
        self._client = httpx.AsyncClient(base_url=base_url, timeout=CALL_SECONDS, transport=transport)
        self._auth = ""

    async def close(self) -> None:
        await self._client.aclose()

    async def log_in(self, user: str, password: str) -> str:
        """Log in and send the token with every further call; returns it. The lines that are printed call it $AUTH."""
        body = {"userId": user, "password": password}
        path = "/identity-api/login"
        self._say(f"  $ curl -X POST {shlex.quote(self._base_url + path)} -H 'Content-Type: application/json' \\")
        self._say(f"      -d {shlex.quote(json.dumps({**body, 'password': '...'}))}")
        answer = self._answer(await self._client.post(path, json=body), 200, ("userId", "tokenType", "expiresIn"))
        token = str(answer["accessToken"])
        self._say('  $ AUTH="Authorization: Bearer <the accessToken of that answer>"')
        self._client.headers["Authorization"] = f"Bearer {token}"
        self._auth = ' -H "$AUTH"'
        return token

    async def get(self, path: str, shown: Sequence[str], **params: str) -> Json:
        """Get, and print the fields `shown` of the answer (of each element, if it is a list)."""
        url = _with_query(path, params)
        self._say(f"  $ curl{self._auth} {shlex.quote(self._base_url + url)}")
        return self._answer(await self._client.get(url), 200, shown)

    async def get_when(self, path: str, shown: Sequence[str], ready: Callable[[Json], bool], **params: str) -> Json:
        """Get until the answer is as wanted, and print that one. Raises DemoFailed if it never is."""
        url = _with_query(path, params)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while True:
            answer = await self._client.get(url)
            if answer.status_code == 200 and ready(answer.json()):
                self._say(f"  $ curl{self._auth} {shlex.quote(self._base_url + url)}")
                return self._answer(answer, 200, shown)
            if time.monotonic() > give_up_at:
                raise DemoFailed(f"GET {url} to answer as it should within {WAIT_SECONDS:.0f} s", answer.text)
            # REST pushes nothing, so a client of it has to ask again.
            await asyncio.sleep(POLL_SECONDS)

    async def post(self, path: str, body: Mapping[str, Json], status: int, shown: Sequence[str] = ()) -> Json:
        """Post JSON and expect that status."""
        text = json.dumps(body, ensure_ascii=False)
        url = shlex.quote(self._base_url + path)
        self._say(
            f"  $ curl{self._auth} -X POST {url} -H 'Content-Type: application/json' \\\n      -d {shlex.quote(text)}"
        )
        answer = await self._client.post(path, content=text.encode(), headers={"Content-Type": "application/json"})
        return self._answer(answer, status, shown)

    async def upload(self, path: str, file: LocalFile, status: int, shown: Sequence[str], **params: str) -> Json:
        """Post a file as multipart/form-data."""
        url = _with_query(path, params)
        form = shlex.quote(f"file=@{file.path}")
        self._say(f"  $ curl{self._auth} -X POST {shlex.quote(self._base_url + url)} \\\n      -F {form}")
        answer = await self._client.post(url, files={"file": (Path(file.path).name, file.data, "text/xml")})
        return self._answer(answer, status, shown)

    def _answer(self, answer: httpx.Response, status: int, shown: Sequence[str]) -> Json:
        document = answer.json() if answer.content else None
        if answer.status_code != status:
            raise DemoFailed(f"HTTP {status}", f"HTTP {answer.status_code} {answer.text}")
        for line in abridged(document, shown):
            self._say(f"  {answer.status_code} {line}" if line is not None else f"  {answer.status_code}")
        return document


def abridged(document: Json, shown: Sequence[str]) -> list[str | None]:
    """Return the lines that show an answer: the fields `shown`, of each of the first elements of a list."""
    if document is None or not shown:
        return [None]
    elements = document.get("data") if isinstance(document, Mapping) and "data" in document else document
    if not isinstance(elements, list):
        return [_fields(elements, shown)]
    lines: list[str | None] = [_fields(element, shown) for element in elements[:MAX_SHOWN]]
    if len(elements) > MAX_SHOWN:
        lines.append(f"... and {len(elements) - MAX_SHOWN} more")
    return lines or ["[]"]


def _fields(element: Json, shown: Sequence[str]) -> str:
    return json.dumps({name: element[name] for name in shown if name in element}, ensure_ascii=False)


def _with_query(path: str, params: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(params)}" if params else path
