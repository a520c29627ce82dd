"""Doing the requests of HTTP tasks: each is a job, done under a lease and reported by a command.

At least once: the other side gets the job's id as `Idempotency-Key`, the same at each attempt.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from engine.kernel import commands as cmd
from engine.kernel.values import variables_of
from mesh.addresses import AddressRefused, GuardedTransport, Resolver, resolve
from mesh.settings import setting

IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
USER_AGENT: Final = "flowloom"
_SCHEMES: Final = frozenset(("http", "https"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Bounds of the requests that processes make."""

    http_allow_private_addresses: bool = setting(
        False, doc="Whether HTTP tasks may call private, loopback and link-local addresses."
    )
    http_max_seconds: float = setting(120.0, doc="The longest that one request may take, whatever the model says.")
    http_connect_seconds: float = setting(10.0, doc="How long connecting may take.")
    http_response_bytes: int = setting(1024 * 1024, doc="The longest body that is taken as an answer.", minimum=1)
    http_redirects: int = setting(10, doc="How many redirects are followed.", minimum=0)
    http_connections: int = setting(64, doc="Requests under way at once.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status_code: int
    reason: str
    body: str
    headers: str
    protocol: str


class RequestFailed(Exception):
    """There was no answer, or none that can be taken."""


class HttpRequests:
    """Performs the requests of jobs. One per process; close it at the end."""

    def __init__(self, settings: HttpSettings | None = None, resolver: Resolver = resolve) -> None:
        self._settings = settings or HttpSettings()
        # No kept connections: see GuardedTransport. No environment: a proxy would resolve names behind our back.
        inner = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(max_connections=self._settings.http_connections, max_keepalive_connections=0),
        )
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(
                inner, allow_private=self._settings.http_allow_private_addresses, resolver=resolver
            ),
            trust_env=False,
            headers={"User-Agent": USER_AGENT},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def report(self, job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        """Do the request of a job (`payload` as the kernel scheduled it) and return the command that tells the outcome.

        A status under handleStatusCodes throws the BPMN error `HTTP<code>`; one under failStatusCodes, or no answer at
        all, fails the job, unless the model ignores errors: then the job completes and tells the error.
        """
        request = payload["request"]
        try:
            answer = await self._ask(job_id, request)
        except RequestFailed as failed:
            return _failed(job_id, request, str(failed), {})
        code = str(answer.status_code)
        if _listed(code, request.get("handle_codes", ())):
            message = f"the request was answered with status {code}"
            return cmd.ThrowJobError(job_id=job_id, error_code=f"HTTP{code}", error_message=message)
        told = {
            "status_code": answer.status_code,
            "reason": answer.reason,
            "body": answer.body,
            "headers": answer.headers,
            "protocol": answer.protocol,
        }
        if _listed(code, request.get("fail_codes", ())):
            return _failed(job_id, request, f"expected another status than {code}, found it: {answer.reason}", told)
        return cmd.CompleteJob(job_id=job_id, variables=variables_of(told))

    async def _ask(self, job_id: str, request: Mapping[str, Any]) -> Answer:
        seconds = min(
            request.get("timeout_ms", 0) / 1000 or self._settings.http_max_seconds, self._settings.http_max_seconds
        )
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(job_id, request, seconds)
        except TimeoutError as error:
            raise RequestFailed(f"expected an answer within {seconds:g} s, found none") from error
        except AddressRefused as error:
            raise RequestFailed(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, OSError) as error:
            raise RequestFailed(f"{type(error).__name__}: {error}") from error

    async def _exchange(self, job_id: str, request: Mapping[str, Any], seconds: float) -> Answer:
        url = httpx.URL(request["url"].strip())
        if url.scheme not in _SCHEMES or not url.host:
            raise RequestFailed(f"expected a URL with http or https and a host, found '{request['url']}'")
        body = request.get("body") or ""
        asked = self._client.build_request(
            request["method"],
            url,
            headers=_headers(job_id, request.get("headers") or ""),
            content=body.encode() if body else None,
            timeout=httpx.Timeout(seconds, connect=min(seconds, self._settings.http_connect_seconds)),
        )
        response = await self._follow(asked, follow=bool(request.get("follow_redirects", True)))
        try:
            content = await self._content(response)
        finally:
            await response.aclose()
        return Answer(
            status_code=response.status_code,
            reason=response.reason_phrase,
            body=content.decode(_charset(response), errors="replace"),
            headers="\n".join(
                f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in response.headers.raw
            ),
            protocol=response.http_version,
        )

    async def _follow(self, asked: httpx.Request, *, follow: bool) -> httpx.Response:
        """Send, and go where redirects lead. By hand, for httpx would read a redirect's body however long it is."""
        for _ in range(self._settings.http_redirects + 1):
            response = await self._client.send(asked, stream=True, follow_redirects=False)
            if response.next_request is None or not follow:
                return response
            await response.aclose()
            asked = response.next_request
        raise RequestFailed(
            f"expected at most {self._settings.http_redirects} redirects (setting: http_redirects), found more"
        )

    async def _content(self, response: httpx.Response) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity")
        limit = self._settings.http_response_bytes
        content = bytearray()
        async for chunk in response.aiter_raw():
            if encoding.lower() != "identity":
                # Unasked for, and a few bytes of it can unfold to more than we would ever take.
                raise RequestFailed(f"expected a body that is not compressed, found one in '{encoding}'")
            content += chunk
            if len(content) > limit:
                raise RequestFailed(
                    f"expected a body of at most {limit} bytes (setting: http_response_bytes), found more"
                )
        return bytes(content)


def _headers(job_id: str, text: str) -> list[tuple[str, str]]:
    """Header lines as pairs. Raises RequestFailed for a line that is none."""
    given: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise RequestFailed(f"expected header lines as 'Name: value', found '{line.strip()}'")
        if name.strip().lower() != "accept-encoding":
            given.append((name.strip(), value.strip()))
    given.append(("Accept-Encoding", "identity"))
    if all(name.lower() != IDEMPOTENCY_HEADER.lower() for name, _ in given):
        given.append((IDEMPOTENCY_HEADER, job_id))
    return given


def _charset(response: httpx.Response) -> str:
    name = response.charset_encoding or "utf-8"
    try:
        b"".decode(name)
    except LookupError:
        return "utf-8"
    return name


def _listed(code: str, patterns: Any) -> bool:
    """Whether a status is among the listed ones, which may be as `404` or as `5XX`."""
    return code in patterns or f"{code[0]}XX" in patterns


def _failed(job_id: str, request: Mapping[str, Any], error: str, told: Mapping[str, Any]) -> cmd.Command:
    if request.get("ignore_error"):
        return cmd.CompleteJob(job_id=job_id, variables=variables_of({**told, "error": error}))
    return cmd.FailJob(job_id=job_id, error=error)
