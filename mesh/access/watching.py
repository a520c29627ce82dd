"""Open streams of people who may no longer call: looked at now and then, and ended.

A stream is let in once and may last for days. Meanwhile its token expires, which ends no stream; but whoever was logged
out, disabled, or lost the privilege does not go on for longer than one look.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.errors import DomainError, PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    from mesh.access.contract import Rule
    from mesh.access.control import Access, Metadata


class StreamWatch:
    """Looks after one stream, in whose task it is made; costs a stream that ends before the first look one timer."""

    __slots__ = ("_access", "_looking", "_metadata", "_rule", "_seconds", "_serving", "_timer", "refusal")

    def __init__(self, access: Access, rule: Rule, metadata: Metadata, seconds: float) -> None:
        """`seconds` from one look to the next."""
        self._access = access
        self._rule = rule
        self._metadata = metadata
        self._seconds = seconds
        self._serving = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        self.refusal: DomainError | None = None
        """Why the stream was ended, if it was."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def instead_of(self, raised: BaseException) -> BaseException:
        """Return what the stream ended by: the refusal, if that is what cancelled it."""
        if self.refusal is None or not isinstance(raised, asyncio.CancelledError):
            return raised
        if self._serving is not None:
            self._serving.uncancel()
        return self.refusal

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        try:
            await self._access.stands(self._rule, self._metadata)
        except (Unauthenticated, PermissionDenied) as refused:
            self.refusal = refused
            if self._serving is not None:
                self._serving.cancel()
            return
        except DomainError:
            # Identity is away: nobody is put out for that.
            pass
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)


def watch(access: Access, rule: Rule, metadata: Metadata) -> StreamWatch | None:
    """Look after the stream that is being served; None where there is nothing to look at."""
    seconds = access.stream_seconds
    return None if rule.public or seconds is None else StreamWatch(access, rule, metadata, seconds)
