"""Keeping out what was erased: a message that comes late, or again in a rebuild, says nothing of an erased person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from history.model import happenings as told

_PEOPLE: Final = ("start_user_id", "assignee", "owner", "completed_by", "user_id", "author")
"""Fields of happenings that hold a user's id."""
_CHANGED: Final = ("assignee", "owner")
"""Keys of `changes` that do."""
_LONGEST_ID: Final = 255


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What stands for a person in whatever happened until then."""

    replacement: str
    with_comments: bool
    erased_at: datetime


def people_of(batch: Iterable[told.Told]) -> set[str]:
    """Every text of the batch that could be a user's id where one stands."""
    found: set[str] = set()
    for command in batch:
        found.add(command.user_id)
        for happening in command.happenings:
            for name in _PEOPLE:
                found.add(getattr(happening, name, ""))
            changes = getattr(happening, "changes", None)
            if changes:
                found.update(changes[name] or "" for name in _CHANGED if name in changes)
            if isinstance(happening, told.VariableSet) and isinstance(happening.value, str):
                found.add(happening.value)
    return {text for text in found if text and len(text) <= _LONGEST_ID}


def redacted(
    command: told.Told,
    people: Mapping[str, Erased],
    variables: Mapping[str, datetime],
    tenants: Mapping[str, datetime],
) -> told.Told:
    """The command without the people, by their ids, and without the values of variables that were erased by key.

    Of a command of an erased tenant nothing but its sequence is left.
    """
    erased_at = tenants.get(command.tenant_id)
    if erased_at is not None and all(happening.at <= erased_at for happening in command.happenings):
        return msgspec.structs.replace(command, user_id="", happenings=())
    happenings = tuple(_redact(happening, people, variables) for happening in command.happenings)
    last = max((happening.at for happening in command.happenings), default=None)
    user_id = command.user_id if last is None else _instead(command.user_id, last, people)
    return msgspec.structs.replace(command, user_id=user_id, happenings=happenings)


def _redact(
    happening: told.Happening, people: Mapping[str, Erased], variables: Mapping[str, datetime]
) -> told.Happening:
    changes: dict[str, Any] = {}
    for name in _PEOPLE:
        user_id = getattr(happening, name, "")
        if user_id and (other := _instead(user_id, happening.at, people)) != user_id:
            changes[name] = other
            if isinstance(happening, told.CommentAdded) and people[user_id].with_comments:
                changes["message"] = ""
    changed = getattr(happening, "changes", None)
    if changed and any(changed.get(name) in people for name in _CHANGED):
        changes["changes"] = {
            name: _instead(value, happening.at, people) if name in _CHANGED and value else value
            for name, value in changed.items()
        }
    if isinstance(happening, told.VariableSet):
        erased_at = variables.get(happening.variable_key)
        if erased_at is not None and happening.at <= erased_at:
            changes |= {"type": "null", "value": None}
        elif isinstance(happening.value, str):
            changes["value"] = _instead(happening.value, happening.at, people)
    return msgspec.structs.replace(happening, **changes) if changes else happening


def _instead(user_id: str, at: datetime, people: Mapping[str, Erased]) -> str:
    erased = people.get(user_id)
    return user_id if erased is None or at > erased.erased_at else erased.replacement
