"""Deletes what is kept of a recipient, so many rows in a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from mesh.db.statements import COMMIT, Delete, Sql, Statement
from mesh.db.writer import Writer
from notify.storage import tables
from notify.storage.connection import Connection
from notify.storage.requests import Answers

BATCH: Final = 500
"""Rows of a kind that one transaction deletes: the sender waits for no longer one."""

_OF: Final[Mapping[str, Sql]] = {
    "preferences": Sql("SELECT user_id FROM preferences WHERE user_id = ? LIMIT ? {for update}"),
    "delivery": Sql("SELECT id FROM delivery WHERE recipient = ? ORDER BY created_at LIMIT ? {for update}"),
    "answer": Sql("SELECT request_id FROM answered_request WHERE user_id = ? LIMIT ? {for update}"),
}
_DROP: Final[Mapping[str, Delete]] = {
    "preferences": Delete((tables.preferences, ("user_id",))),
    "delivery": Delete((tables.delivery, ("id",))),
    "answer": Delete((tables.request, ("request_id",))),
}


class RecipientRows:
    """The `RecipientStore`."""

    def __init__(self, connection: Connection, answers: Answers) -> None:
        self._connection = connection
        self._answers = answers

    async def erase(self, user_id: str, request_id: str) -> dict[str, int]:
        """Delete all of a user. A delivery that is being sent is not written again: its lease is gone with it.

        The last transaction remembers the answer. Raises Unavailable.
        """
        removed = Counter(dict.fromkeys(_OF, 0))
        while full := await self._connection.run(lambda writer: _drop_full_batch(writer, user_id)):
            removed.update(full)

        def work(writer: Writer) -> tuple[list[Statement], dict[str, int]]:
            found = _find(writer, user_id)
            return _drops(found), {kind: removed[kind] + len(found[kind]) for kind in _OF}

        return await self._answers.once(request_id, "EraseRecipient", dict[str, int], work)


def _find(writer: Writer, user_id: str) -> Mapping[str, Sequence[str]]:
    results = writer.run([statement.of(user_id, BATCH) for statement in _OF.values()])
    return {kind: [row[0] for row in result.rows] for kind, result in zip(_OF, results, strict=True)}


def _drops(found: Mapping[str, Sequence[str]]) -> list[Statement]:
    return [_DROP[kind].of([(key,) for key in keys]) for kind, keys in found.items() if keys]


def _drop_full_batch(writer: Writer, user_id: str) -> dict[str, int]:
    """Delete as much as a batch holds and return how many, if there is more than that; else nothing."""
    found = _find(writer, user_id)
    counts = {kind: len(keys) for kind, keys in found.items()}
    if max(counts.values()) < BATCH:
        writer.rollback()
        return {}
    writer.run([*_drops(found), COMMIT])
    return counts
