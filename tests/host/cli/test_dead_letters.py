"""`flowloom dead-letters` asks the right RPC with what it was told, and prints the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flowloom.events.v1 import dead_letter_service_pb2 as pb

from mesh.errors import NotFound
from tests.host.cli.scripted_mesh import ScriptedMesh

Run = Callable[..., Any]
LETTER = pb.DeadLetter(
    id="abc", group="history", topic="flowable.history", key="root", error="ValueError: no", attempts=3
)


def test_list_shows_whose_letters_they_are_and_why(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListDeadLetters"] = pb.ListDeadLettersResponse(data=[LETTER], total=1)

    result = flowloom("dead-letters", "list", "--group", "history", "--key", "root")

    assert result.exit_code == 0, result.output
    assert "ValueError: no" in result.output
    assert result.output.rstrip().endswith("1 dead letters")
    ((_, request),) = scripted_mesh.asked
    assert (request.group, request.key, request.HasField("topic")) == ("history", "root", False)


def test_show_prints_the_whole_letter(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["GetDeadLetter"] = LETTER

    result = flowloom("dead-letters", "show", "abc")

    assert json.loads(result.output)["topic"] == "flowable.history"


def test_replay_says_what_became_of_it(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ReplayDeadLetter"] = pb.ReplayDeadLetterResponse(replayed=2, left=1)

    result = flowloom("dead-letters", "replay", "abc")

    assert result.output == "2 delivered, 1 of the key still parked\n"
    ((_, request),) = scripted_mesh.asked
    assert request.dead_letter_id == "abc"
    assert request.request_id


def test_discarding_what_is_not_there_is_one_line(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["DiscardDeadLetter"] = NotFound("dead-letter-not-found", "expected a dead letter, found none")

    result = flowloom("dead-letters", "discard", "abc")

    assert result.exit_code == 1
    assert result.stderr == "error: dead-letter-not-found: expected a dead letter, found none\n"
