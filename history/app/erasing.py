"""Erasing a person or a tenant: archive files are rewritten first, then one transaction changes everything else.

Whatever is written later of what happened before (a message that comes again, a rebuild) says nothing of who or what
was erased: see `redacting`. A crash leaves everything as it was, besides files that nobody knows of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

import msgspec

from history.app.archiving import Archive
from history.app.searching import SearchWriter
from history.model.archive import Cell, StoredRow, WrittenFile
from history.model.erasure import Erasure
from mesh.clock import Clock
from mesh.errors import FieldViolation, InvalidArgument, NotFound, Unavailable
from mesh.ids import IdSource
from mesh.paging import Listed, Page

MAX_VARIABLE_NAMES: Final = 1_000
MAX_ATTEMPTS: Final = 10
"""How often the archive's files are rewritten anew because others came meanwhile."""
VERIFIED_AT_ONCE: Final = 500
Change: TypeAlias = Callable[[Sequence[StoredRow]], tuple[Sequence[StoredRow], int]]
"""What becomes of a file's rows: those that are kept, and how many of them are others now."""
PEOPLE: Final = ("start_user_id", "end_user_id", "assignee", "owner", "completed_by", "user_id", "author")
"""Columns that hold a user's id, in whichever table."""


class PersonWish(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to erase. Only what the caller sees in its scope is erased."""

    user_id: str
    variable_names: tuple[str, ...]
    with_comments: bool
    requested_by: str
    request_id: str


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """An archive file and the one that takes its place; None: nothing of it is left. Roots that went are in `gone`."""

    former: str
    present: WrittenFile | None
    changed: int
    deleted: int
    gone: tuple[str, ...] = ()


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """A proof, and the texts (owner and field) that are others or gone now."""

    proof: Erasure
    texts: tuple[tuple[str, str], ...] = ()


class ErasureStore(Protocol):
    """The database's side. Raises Unavailable."""

    def known(self, request_id: str) -> Awaitable[Erasure | None]:
        """The erasure of that request."""
        ...

    def files(self) -> Awaitable[Sequence[str]]:
        """All archive files."""
        ...

    def archived_of_tenant(self, tenant_id: str) -> Awaitable[Sequence[str]]:
        """The archived instances of a tenant."""
        ...

    def replacement(self, user_id: str) -> Awaitable[str]:
        """What stands for the person since an erasure before; empty if there was none."""
        ...

    def erase_person(
        self, wish: PersonWish, replacement: str, files: Sequence[str], rewritten: Sequence[Rewritten], erasure_id: str
    ) -> Awaitable[Erased | None]:
        """Erase and prove, in one transaction; None, and nothing, if the archive has other files by now."""
        ...

    def erase_tenant(
        self,
        tenant_id: str,
        requested_by: str,
        files: Sequence[str],
        rewritten: Sequence[Rewritten],
        erasure_id: str,
        request_id: str,
    ) -> Awaitable[Erased | None]:
        """Likewise. Raises FailedPrecondition while something of the tenant is open."""
        ...

    def get(self, erasure_id: str) -> Awaitable[Erasure | None]:
        """One proof."""
        ...

    def listed(self, subject_id: str | None, page: Page) -> Awaitable[Listed[Erasure]]:
        """A page of proofs, of all or of one user or tenant. Raises InvalidArgument."""
        ...

    def from_number(self, number: int, limit: int) -> Awaitable[Sequence[Erasure]]:
        """Proofs from that number on."""
        ...


class Erasing:
    """The use cases."""

    def __init__(
        self,
        store: ErasureStore,
        archive: Archive,
        clock: Clock,
        ids: IdSource,
        *,
        key: str,
        search: SearchWriter | None = None,
    ) -> None:
        """`key` signs the proofs; empty: they are hashed only."""
        self.store = store
        self._archive = archive
        self._clock = clock
        self._ids = ids
        self._key = key
        self._search = search

    async def person(self, wish: PersonWish) -> Erasure:
        """Replace a user's id everywhere. Raises InvalidArgument, FailedPrecondition, Unavailable."""
        _check("user_id", wish.user_id)
        if len(wish.variable_names) > MAX_VARIABLE_NAMES:
            expected = f"expected at most {MAX_VARIABLE_NAMES} variables (limit: MAX_VARIABLE_NAMES)"
            raise _invalid("variable_names", f"{expected}, found {len(wish.variable_names)}")
        for name in wish.variable_names:
            _check("variable_names", name)
        known = await self.store.known(wish.request_id)
        if known is not None:
            return known
        replacement = await self.store.replacement(wish.user_id) or f"erased-{self._ids.root()}"
        async with self._archive.changing:
            for _ in range(MAX_ATTEMPTS):
                files = await self.store.files()
                rewritten = [
                    done
                    for name in files
                    if (done := await self._rewrite(name, partial(_without_person, wish, replacement)))
                ]
                erased = await self.store.erase_person(wish, replacement, files, rewritten, self._ids.root())
                await self._drop(rewritten, erased)
                if erased is not None:
                    if self._search is not None and erased.texts:
                        await self._search.forget_texts(erased.texts)
                    return erased.proof
        raise _busy()

    async def tenant(self, tenant_id: str, requested_by: str, request_id: str) -> Erasure:
        """Delete all of a tenant. Raises InvalidArgument, FailedPrecondition, Unavailable."""
        _check("tenant_id", tenant_id)
        known = await self.store.known(request_id)
        if known is not None:
            return known
        async with self._archive.changing:
            for _ in range(MAX_ATTEMPTS):
                files = await self.store.files()
                theirs = frozenset(await self.store.archived_of_tenant(tenant_id))
                rewritten = [
                    done for name in files if (done := await self._rewrite(name, partial(_without_instances, theirs)))
                ]
                erased = await self.store.erase_tenant(
                    tenant_id, requested_by, files, rewritten, self._ids.root(), request_id
                )
                await self._drop(rewritten, erased)
                if erased is not None:
                    if self._search is not None:
                        await self._search.forget_tenant(tenant_id)
                    return erased.proof
        raise _busy()

    async def verify(self) -> tuple[bool, int, str]:
        """Whether all proofs hold, how many were checked, and the id of the first that does not."""
        previous, number = "", 1
        while found := await self.store.from_number(number, VERIFIED_AT_ONCE):
            for one in found:
                if one.number != number or not one.holds(previous, self._key):
                    return False, number - 1, one.id
                previous, number = one.hash, number + 1
        return True, number - 1, ""

    async def get(self, erasure_id: str) -> Erasure:
        """One proof. Raises NotFound."""
        found = await self.store.get(erasure_id)
        if found is None:
            message = f"expected an erasure, found none with id '{erasure_id}'"
            raise NotFound("erasure-not-found", message, erasure_id=erasure_id)
        return found

    async def _rewrite(self, name: str, change: Change) -> Rewritten | None:
        """Write a file anew if something of it changes; None if not."""
        rows = await self._archive.files.read(name)
        kept, changed = await asyncio.to_thread(change, rows)
        deleted = len(rows) - len(kept)
        if not changed and not deleted:
            return None
        present: WrittenFile | None = None
        if kept:
            trees: dict[str, list[StoredRow]] = {}
            for row in kept:
                trees.setdefault(row.root_id, []).append(row)
            present = await self._archive.files.write(f"{self._ids.root()}.parquet", trees)
        gone = {row.instance_id for row in rows} - {row.instance_id for row in kept}
        return Rewritten(former=name, present=present, changed=changed, deleted=deleted, gone=tuple(sorted(gone)))

    async def _drop(self, rewritten: Sequence[Rewritten], erased: Erased | None) -> None:
        """Delete the former files, or, if nothing was erased, the new ones."""
        for one in rewritten:
            if erased is not None:
                await self._archive.files.delete(one.former)
            elif one.present is not None:
                await self._archive.files.delete(one.present.name)


def erased_row(row: StoredRow, wish: PersonWish, replacement: str, *, of_person: bool) -> StoredRow:
    """The row without the person; the same object if it never had it. `of_person`: the person has to do with it."""
    values, user_id = row.values, wish.user_id
    changes: dict[str, Cell] = {name: replacement for name in PEOPLE if values.get(name) == user_id}
    if row.table == "historic_comment" and "author" in changes and wish.with_comments:
        changes["message"] = ""
    if row.table == "historic_task_log":
        data = without_in_json(str(values["data"]), user_id, replacement)
        if data != values["data"]:
            changes["data"] = data
    if row.table in ("historic_variable", "historic_detail"):
        if of_person and values["name"] in wish.variable_names:
            changes |= dict.fromkeys([name for name in ("bytes", "text_value", "number_value") if name in values])
            changes |= {"type": "null", "value": "null"}
        elif values["type"] == "string" and values["value"] == msgspec.json.encode(user_id).decode():
            changes["value"] = msgspec.json.encode(replacement).decode()
            if "text_value" in values:
                changes["text_value"] = replacement
    changes = {name: value for name, value in changes.items() if values[name] != value}
    return msgspec.structs.replace(row, values=values | changes) if changes else row


def without_in_json(text: str, user_id: str, replacement: str) -> str:
    """JSON text with every value that is the user's id replaced."""
    if not text or user_id not in msgspec.json.decode(text).values():
        return text
    found = {name: replacement if value == user_id else value for name, value in msgspec.json.decode(text).items()}
    return msgspec.json.encode(found).decode()


def _without_person(wish: PersonWish, replacement: str, rows: Sequence[StoredRow]) -> tuple[Sequence[StoredRow], int]:
    involved = _involved(rows, wish.user_id)
    found = [erased_row(row, wish, replacement, of_person=row.instance_id in involved) for row in rows]
    return found, sum(new is not old for new, old in zip(found, rows, strict=True))


def _involved(rows: Sequence[StoredRow], user_id: str) -> frozenset[str]:
    """Instances that a person has to do with."""
    return frozenset(row.instance_id for row in rows if any(row.values.get(name) == user_id for name in PEOPLE))


def _without_instances(ids: frozenset[str], rows: Sequence[StoredRow]) -> tuple[Sequence[StoredRow], int]:
    return [row for row in rows if row.instance_id not in ids], 0


def _check(field: str, text: str) -> None:
    if not 1 <= len(text) <= 255:
        raise _invalid(field, f"expected 1 to 255 characters, found {len(text)}")


def _invalid(field: str, message: str) -> InvalidArgument:
    return InvalidArgument("invalid-erasure", message, violations=[FieldViolation(field, message)])


def _busy() -> Unavailable:
    return Unavailable("archive-busy", f"expected the archive to stay as it is within {MAX_ATTEMPTS} attempts")
