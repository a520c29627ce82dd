"""An engine and whoever listens to its business events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from flowloom.events.v1 import business_pb2

from mesh.bus.memory import MemoryDeadLetters
from mesh.bus.message import Message
from mesh.bus.ports import EventBus, GroupSettings
from mesh.bus.topics import BUSINESS

SECONDS = 60.0
QUICK = GroupSettings(
    retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=0.02, gap_patience_seconds=0.0
)
REVIEW = """<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
  targetNamespace="t"><process id="review" name="Review" isExecutable="true"><startEvent id="s"/>
  <sequenceFlow id="f1" sourceRef="s" targetRef="check"/>
  <userTask id="check" name="Check" flowable:candidateUsers="fozzie,gonzo" flowable:candidateGroups="management"
    flowable:formKey="check-form" flowable:priority="70" flowable:dueDate="2026-06-01T12:00:00Z"/>
  <sequenceFlow id="f2" sourceRef="check" targetRef="sign"/>
  <userTask id="sign" name="Sign" flowable:assignee="kermit"/>
  <sequenceFlow id="f3" sourceRef="sign" targetRef="e"/><endEvent id="e"/></process></definitions>"""


class Listener:
    """Hears all business topics; `heard` in the order of arrival."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._changed = asyncio.Event()

    async def listen(self, bus: EventBus, topics: Sequence[str] = BUSINESS) -> None:
        for topic in topics:
            await bus.subscribe(topic, f"listener-{topic}", self, MemoryDeadLetters(), QUICK)

    async def __call__(self, messages: Sequence[Message]) -> None:
        self.heard += messages
        self._changed.set()

    async def until(self, count: int) -> None:
        """Return once so many different messages came."""
        async with asyncio.timeout(SECONDS):
            while len({message.event_id for message in self.heard}) < count:
                self._changed.clear()
                await self._changed.wait()

    def told(self, key: str) -> list[str]:
        """What happened under a key, in the order of its sequence, each once."""
        found = {message.sequence: message for message in self.heard if message.key == key}
        return [found[sequence].topic.removeprefix("flowable.") for sequence in sorted(found)]

    def bodies(self, topic: str) -> list[Any]:
        kind: Any = business_pb2.TaskEvent if ".task." in topic else business_pb2.ProcessInstanceEvent
        return [kind.FromString(message.payload) for message in self.heard if message.topic == topic]
