"""REST calls that show themselves: each prints the curl line that does the same, and the answer."""

from __future__ import annotations

import asyncio
import copy
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
        self._token = ""
        self._who = ""

    async def close(self) -> None:
        await self._client.aclose()

    async def login(self, user_id: str, password: str) -> ShownRest:
        """Log in, and return the client of that user: it sends the token, and prints a variable in its place."""
        body = {"userId": user_id, "password": password}
        answer = await self.post("/identity-api/login", body, 200, ("tokenType", "expiresIn"), hidden="password")
        return self.acting(user_id, str(answer["accessToken"]))

    def acting(self, user_id: str, token: str) -> ShownRest:
        """Return the client that acts with this token."""
        client = copy.copy(self)
        client._token, client._who = token, user_id.upper()
        return client

    def _credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _curl(self, method: str, url: str) -> str:
        words = ["curl", *(["-X", method] if method != "GET" else []), shlex.quote(self._base_url + url)]
        if self._token:
            words.append(f'-H "Authorization: Bearer ${self._who}"')
        return " ".join(words)

    async def get(self, path: str, shown: Sequence[str], **params: str) -> Json:
        """Get, and print the fields `shown` of the answer (of each element, if it is a list)."""
        url = _with_query(path, params)
        self._say(f"  $ {self._curl('GET', url)}")
        return self._answer(await self._client.get(url, headers=self._credentials()), 200, shown)

    async def get_when(self, path: str, shown: Sequence[str], ready: Callable[[Json], bool], **params: str) -> Json:
        """Get until the answer is as wanted, and print that one. Raises DemoFailed if it never is."""
        url = _with_query(path, params)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while True:
            answer = await self._client.get(url, headers=self._credentials())
            if answer.status_code == 200 and ready(answer.json()):
                self._say(f"  $ {self._curl('GET', url)}")
                return self._answer(answer, 200, shown)
            if time.monotonic() > give_up_at:
                raise DemoFailed(f"GET {url} to answer as it should within {WAIT_SECONDS:.0f} s", answer.text)
            # REST pushes nothing, so a client of it has to ask again.
            await asyncio.sleep(POLL_SECONDS)

    async def post(
        self, path: str, body: Mapping[str, Json], status: int, shown: Sequence[str] = (), *, hidden: str = ""
    ) -> Json:
        """Post JSON and expect that status; the field `hidden` of the body is sent and not shown."""
        printed = json.dumps({**body, hidden: "..."} if hidden else body, ensure_ascii=False)
        kind = {"Content-Type": "application/json"}
        line = f"{self._curl('POST', path)} -H 'Content-Type: application/json'"
        self._say(f"  $ {line} \\\n      -d {shlex.quote(printed)}")
        text = json.dumps(body, ensure_ascii=False).encode()
        answer = await self._client.post(path, content=text, headers={**kind, **self._credentials()})
        return self._answer(answer, status, shown)

    async def upload(self, path: str, file: LocalFile, status: int, shown: Sequence[str], **params: str) -> Json:
        """Post a file as multipart/form-data."""
        url = _with_query(path, params)
        form = shlex.quote(f"file=@{file.path}")
        self._say(f"  $ {self._curl('POST', url)} \\\n      -F {form}")
        files = {"file": (Path(file.path).name, file.data, "application/octet-stream")}
        answer = await self._client.post(url, files=files, headers=self._credentials())
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
    found = document.get("data") if isinstance(document, Mapping) else None
    elements = found if isinstance(found, list) else document
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
