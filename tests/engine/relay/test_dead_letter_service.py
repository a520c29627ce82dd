"""Dead letters through their contract, on the embedded bus."""

from pathlib import Path

from flowloom.events.v1 import dead_letter_service_pb2 as pb
from flowloom.events.v1 import dead_letter_service_pb2_grpc as services

from mesh.bus import topics
from tests.engine.relay.worlds import QUICK, REVIEW
from tests.faults import embedded
from tests.mesh.bus.worlds import Failing, Letters


class FailsAlways(Failing):
    """Fails for every message until it is told not to."""

    broken = True

    async def __call__(self, messages: object) -> None:
        self.failing = {found.event_id for found in messages} if self.broken else set()  # type: ignore[attr-defined]
        await super().__call__(messages)  # type: ignore[arg-type]


async def test_letters_are_listed_shown_replayed_and_discarded(tmp_path: Path) -> None:
    handler, store = FailsAlways(), Letters()
    async with embedded.running(embedded.settings_for(f"sqlite:///{tmp_path}/engine.db")) as engine:
        letters = services.DeadLetterServiceStub(engine.channel)
        await engine.service.bus.subscribe(topics.HISTORY, "billing", handler, store, QUICK)
        await engine.deploy(REVIEW)
        first, second = await engine.start("review"), await engine.start("review")
        await store.until(2)

        page = await letters.ListDeadLetters(pb.ListDeadLettersRequest(size=1))
        assert (page.total, len(page.data), page.data[0].HasField("payload")) == (2, 1, False)
        rest = await letters.ListDeadLetters(pb.ListDeadLettersRequest(size=1, page_token=page.next_page_token))
        assert {page.data[0].key, rest.data[0].key} == {first, second}
        assert not rest.HasField("next_page_token")
        assert (page.data[0].group, page.data[0].topic, page.data[0].attempts) == ("billing", topics.HISTORY, 3)
        assert page.data[0].headers["eventType"] == "COMMAND_EVENTS"

        (of_first,) = (await letters.ListDeadLetters(pb.ListDeadLettersRequest(key=first))).data
        shown = await letters.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id=of_first.id))
        assert len(shown.payload) == of_first.payload_bytes > 0

        replay = pb.ReplayDeadLetterRequest(dead_letter_id=of_first.id, request_id="again")
        assert (await letters.ReplayDeadLetter(replay)) == pb.ReplayDeadLetterResponse(replayed=0, left=1)
        handler.broken = False
        other = pb.ReplayDeadLetterRequest(dead_letter_id=of_first.id, request_id="once-more")
        for _ in range(2):  # a retry gets the first answer
            assert (await letters.ReplayDeadLetter(other)) == pb.ReplayDeadLetterResponse(replayed=1, left=0)
        assert handler.of_key(first) == [of_first.event_id]

        (of_second,) = (await letters.ListDeadLetters(pb.ListDeadLettersRequest())).data
        discard = pb.DiscardDeadLetterRequest(dead_letter_id=of_second.id, request_id="away")
        for _ in range(2):
            await letters.DiscardDeadLetter(discard)
        assert (await letters.ListDeadLetters(pb.ListDeadLettersRequest())).total == 0
        assert handler.of_key(second) == []


async def test_what_does_not_exist_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async with embedded.running(embedded.settings_for(f"sqlite:///{tmp_path}/engine.db")) as engine:
        letters = services.DeadLetterServiceStub(engine.channel)

        with embedded.refused("NOT_FOUND", "dead-letter-not-found", naming="nothing"):
            await letters.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id="nothing"))
        with embedded.refused("NOT_FOUND", "dead-letter-not-found"):
            await letters.ReplayDeadLetter(pb.ReplayDeadLetterRequest(dead_letter_id="nothing", request_id="x"))
        with embedded.refused("NOT_FOUND", "dead-letter-not-found"):
            await letters.DiscardDeadLetter(pb.DiscardDeadLetterRequest(dead_letter_id="nothing"))
        for wrong in (
            pb.ListDeadLettersRequest(size=-1),
            pb.ListDeadLettersRequest(sort="error"),
            pb.ListDeadLettersRequest(order="up"),
            pb.ListDeadLettersRequest(page_token="%%%"),
        ):
            with embedded.refused("INVALID_ARGUMENT", "invalid-query"):
                await letters.ListDeadLetters(wrong)
