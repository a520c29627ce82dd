# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of dead letters: requests to deeds, letters to messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowloom.events.v1 import dead_letter_service_pb2 as pb
from flowloom.events.v1 import dead_letter_service_pb2_grpc as services

from engine.app.dead_letters import Answers, DeadLetterDeeds, LetterFilter
from engine.rpc.errors import answers_refusals, check_request_id
from mesh.bus.ports import DeadLetter
from mesh.paging import Page

if TYPE_CHECKING:
    from engine.rpc.context import RpcContext


@answers_refusals
class DeadLetterService(services.DeadLetterServiceServicer):
    """Translates; the deeds are `engine.app.dead_letters`'."""

    def __init__(self, deeds: DeadLetterDeeds, answers: Answers) -> None:
        self._deeds = deeds
        self._answers = answers

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, _: RpcContext) -> pb.ListDeadLettersResponse:
        """Read a page."""
        page = Page(
            start=request.start,
            size=request.size if request.HasField("size") else None,
            sort=request.sort,
            order=request.order,
            page_token=request.page_token,
        )
        wanted = LetterFilter(group=request.group, topic=request.topic, key=request.key)
        found = await self._deeds.listed(wanted, page)
        return pb.ListDeadLettersResponse(
            data=[message_of(letter) for letter in found.rows],
            total=found.total,
            start=found.start,
            sort=found.sort,
            order=found.order,
            size=len(found.rows),
            next_page_token=found.next_page_token or None,
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, _: RpcContext) -> pb.DeadLetter:
        """Read one, with its payload."""
        letter = await self._deeds.one(request.dead_letter_id)
        message = message_of(letter)
        message.payload = letter.parked.message.payload
        return message

    async def ReplayDeadLetter(self, request: pb.ReplayDeadLetterRequest, _: RpcContext) -> pb.ReplayDeadLetterResponse:
        """Deliver anew."""
        check_request_id(request)
        about = f"replay {request.dead_letter_id}"
        first = await self._first_answer(request.request_id, about)
        if first is not None:
            return pb.ReplayDeadLetterResponse(replayed=first["replayed"], left=first["left"])
        done = await self._deeds.replay(request.dead_letter_id)
        await self._remember(request.request_id, about, {"replayed": done.replayed, "left": done.left})
        return pb.ReplayDeadLetterResponse(replayed=done.replayed, left=done.left)

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, _: RpcContext
    ) -> pb.DiscardDeadLetterResponse:
        """Drop for good."""
        check_request_id(request)
        about = f"discard {request.dead_letter_id}"
        if await self._first_answer(request.request_id, about) is None:
            await self._deeds.discard(request.dead_letter_id)
            await self._remember(request.request_id, about, {})
        return pb.DiscardDeadLetterResponse()

    async def _first_answer(self, request_id: str, about: str) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(self._answers.first_answer, request_id, about) if request_id else None

    async def _remember(self, request_id: str, about: str, reply: Mapping[str, Any]) -> None:
        if request_id:
            await asyncio.to_thread(self._answers.remember, request_id, about, reply)


def message_of(letter: DeadLetter) -> pb.DeadLetter:
    """Return a letter as the contract has it, without its payload."""
    parked, message = letter.parked, letter.parked.message
    on_broker = message.partition >= 0
    found = pb.DeadLetter(
        id=letter.id,
        group=letter.group,
        topic=message.topic,
        partition=message.partition if on_broker else None,
        offset=str(message.offset) if on_broker else None,
        key=message.key,
        event_id=message.event_id,
        sequence=str(message.sequence),
        error=parked.error,
        attempts=parked.tries,
        headers=message.headers,
        payload_bytes=letter.payload_bytes,
    )
    found.occurred_at.FromDatetime(message.occurred_at)
    found.parked_at.FromDatetime(parked.parked_at)
    return found
