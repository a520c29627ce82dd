"""Requests that may be repeated: the same request_id gets the first answer and changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from identity.app.authority import Caller
from identity.app.ports import Work
from mesh.db.errors import TransactionConflict
from mesh.errors import DomainError, FieldViolation, InvalidArgument

A = TypeVar("A")

MAX_REQUEST_ID_CHARACTERS: Final = 128
MAX_TEXT_CHARACTERS: Final = 255
"""Ids, names and addresses."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may come again: the key of its answer, and a digest of what it asks for."""

    key: str = ""
    about: str = ""


def request_of(caller: Caller, asks: str, request_id: str) -> Request:
    """What the request is known by; `asks` tells it from others. Raises InvalidArgument for an id that is too long."""
    if not request_id:
        return Request()
    if len(request_id) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(request_id)}"
        raise InvalidArgument("request-id-too-long", message)
    return Request(key=_digest(f"{caller.user_id}\n{request_id}"), about=_digest(asks))


def once(work: Work, request: Request, now: datetime, kind: type[A], do: Callable[[], A], user_id: str = "") -> A:
    """Do it unless it was done; either way its answer. `user_id`: whose personal data the answer holds.

    Two at once: the second one's transaction meets what the first one did, runs anew and finds its answer. Raises
    InvalidArgument if the request_id belongs to another request.
    """
    if not request.key:
        return do()
    known = work.answers.find(request.key)
    if known is not None:
        about, answered = known
        if about != request.about:
            raise InvalidArgument(
                "request-id-reused", "expected a request_id that is new, or of the same request, found one of another"
            )
        return msgspec.json.decode(answered, type=kind)
    try:
        answer = do()
    except DomainError as refusal:
        # Perhaps the first one has committed since we looked, and that it did what is asked is why it is refused now.
        if work.answers.find(request.key) is None:
            raise
        raise TransactionConflict(f"request answered meanwhile: {refusal.reason}") from refusal
    work.answers.put(request.key, request.about, msgspec.json.encode(answer).decode(), user_id, now)
    return answer


def check_texts(**texts: str | None) -> None:
    """Refuse texts that are too long or have control characters, all at once. Raises InvalidArgument."""
    violations = [
        FieldViolation(name, why) for name, value in texts.items() if value and (why := _wrong(value)) is not None
    ]
    if violations:
        message = "; ".join(f"{each.field}: {each.description}" for each in violations)
        raise InvalidArgument("invalid-text", message, violations=violations)


def check_id(field: str, value: str) -> None:
    """Refuse an id that is empty or no text for an id. Raises InvalidArgument."""
    if not value:
        raise refused(field, f"expected {field}, found none")
    check_texts(**{field: value})


def refused(field: str, message: str) -> InvalidArgument:
    """A field that is wrong."""
    return InvalidArgument("invalid-argument", message, violations=[FieldViolation(field, message)])


def _wrong(value: str) -> str | None:
    if len(value) > MAX_TEXT_CHARACTERS:
        return f"expected at most {MAX_TEXT_CHARACTERS} characters, found {len(value)}"
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in value):
        return "expected no control characters, found one"
    return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=24).hexdigest()
