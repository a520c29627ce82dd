"""The archive: instances that are long over move to files, are read from there, and come back at will.

A root's tree of instances moves as a whole. First the file is written and read back; then one transaction deletes the
rows, if they are still those that were written, and notes where they are now. A crash in between leaves a file that
nobody knows of (swept away later) and every row where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

import msgspec

from history.app.queries import Scope
from history.app.searching import SearchWriter
from history.model.archive import ArchivedInstance, Kept, Policy, StoredRow, WrittenFile
from history.model.search import SearchEntry
from mesh.clock import Clock
from mesh.errors import FailedPrecondition, InvalidArgument, NotFound
from mesh.ids import IdSource
from mesh.paging import Listed, Page

ALL_DEFINITIONS: Final = "*"
"""The key of the policy of all definitions that have none of their own."""
MAX_RETENTION_DAYS: Final = 36_500
MAX_FILES_PER_RUN: Final = 1_000
"""Files that one run writes at most; the next one goes on."""

Trees: TypeAlias = Mapping[str, Sequence[StoredRow]]
"""Rows by root."""


class ArchiveFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which archived instances."""

    process_definition_key: str | None = None
    process_business_key: str | None = None
    started_by: str | None = None
    finished_before: datetime | None = None
    finished_after: datetime | None = None
    tenant_id: str | None = None
    root_process_instance_id: str | None = None


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run moved."""

    instances: int = 0
    files: int = 0


class ArchiveFiles(Protocol):
    """Files of rows. Raises Unavailable while the storage is away."""

    def write(self, name: str, trees: Trees) -> Awaitable[WrittenFile]:
        """Write a file, read it back and compare; it appears whole or not at all."""
        ...

    def read(self, name: str, root_id: str | None = None) -> Awaitable[Sequence[StoredRow]]:
        """The rows of a root, or all. Raises NotFound for a file that is gone."""
        ...

    def names(self, older_than_seconds: float) -> Awaitable[Sequence[str]]:
        """The files that were last written longer ago than that."""
        ...

    def delete(self, name: str) -> Awaitable[None]:
        """Delete a file; does nothing if it is gone."""
        ...


class ArchiveStore(Protocol):
    """The database's side. Raises Unavailable."""

    def policies(self) -> Awaitable[Sequence[Policy]]:
        """All of them."""
        ...

    def list_policies(self, tenant_id: str | None, page: Page, scope: Scope) -> Awaitable[Listed[Policy]]:
        """A page of them."""
        ...

    def set_policy(self, policy: Policy, request_id: str) -> Awaitable[Policy]:
        """Keep a policy in the place of the former one; with a known request, return the present one."""
        ...

    def delete_policy(self, tenant_id: str, definition_key: str, request_id: str) -> Awaitable[bool]:
        """Delete a policy; tells whether there was one, or the request is known."""
        ...

    def due(self, policy: Policy, before: datetime, others: Sequence[str], limit: int) -> Awaitable[Sequence[str]]:
        """Roots that are over since before that moment, oldest first; `others`: keys that the policy leaves out."""
        ...

    def trees(self, root_ids: Sequence[str]) -> Awaitable[Trees]:
        """All rows of these roots; roots of which something still runs are left out."""
        ...

    def move(self, trees: Trees, file: WrittenFile) -> Awaitable[bool]:
        """Delete the rows and note the file, in one transaction; False, and nothing, if a row is not as it was."""
        ...

    def restore(self, root_id: str, rows: Sequence[StoredRow], request_id: str) -> Awaitable[bool]:
        """Put the rows back and forget where they were; False, and nothing, if the root is no longer archived."""
        ...

    def restored_by(self, request_id: str) -> Awaitable[Sequence[str] | None]:
        """The instances that this request brought back; None if it is not known."""
        ...

    def archived(self, instance_id: str, scope: Scope) -> Awaitable[ArchivedInstance | None]:
        """Where an instance lies."""
        ...

    def list_archived(self, wanted: ArchiveFilter, page: Page, scope: Scope) -> Awaitable[Listed[ArchivedInstance]]:
        """A page of archived instances."""
        ...

    def kept(self, rows: Sequence[StoredRow]) -> Kept:
        """The records that these rows are. Blocks only as long as reading them takes."""
        ...

    def entries(self, rows: Sequence[StoredRow]) -> Sequence[SearchEntry]:
        """What of these rows can be searched. Blocks only as long as reading them takes."""
        ...

    def first_run(self, request_id: str) -> Awaitable[RunResult | None]:
        """What the run of that request moved; None if it is not known."""
        ...

    def remember_run(self, request_id: str, done: RunResult) -> Awaitable[None]:
        """Keep what that request's run moved."""
        ...

    def unknown(self, names: Sequence[str]) -> Awaitable[Sequence[str]]:
        """Those of these files that no row knows of."""
        ...

    def empty_files(self) -> Awaitable[Sequence[str]]:
        """Files of which every instance was brought back; their rows are deleted with this."""
        ...


class Archive:
    """The use cases."""

    def __init__(
        self,
        store: ArchiveStore,
        files: ArchiveFiles | None,
        clock: Clock,
        ids: IdSource,
        *,
        instances_per_file: int,
        orphan_seconds: float,
        search: SearchWriter | None = None,
    ) -> None:
        """`files` None: no archive is set. `orphan_seconds`: how old a file that nobody knows of must be to go."""
        self.store = store
        self._files = files
        self._clock = clock
        self._ids = ids
        self._instances_per_file = instances_per_file
        self._orphan_seconds = orphan_seconds
        self._search = search
        self.changing = asyncio.Lock()
        """Whoever writes or deletes files of this process holds it."""

    @property
    def files(self) -> ArchiveFiles:
        """Where the files are. Raises FailedPrecondition without."""
        if self._files is None:
            message = "expected an archive (FLOWLOOM_HISTORY_ARCHIVE_URL), found none set"
            raise FailedPrecondition("archive-not-set", message)
        return self._files

    @property
    def is_set(self) -> bool:
        """Tell whether there is an archive."""
        return self._files is not None

    async def run(self) -> RunResult:
        """Move what is due, then sweep. Raises FailedPrecondition, Unavailable."""
        async with self.changing:
            return await self._run(self.files)

    async def _run(self, files: ArchiveFiles) -> RunResult:
        moved = written = 0
        policies = await self.store.policies()
        for policy in policies:
            others: Sequence[str] = ()
            if policy.definition_key == ALL_DEFINITIONS:
                others = [p.definition_key for p in policies if p.tenant_id == policy.tenant_id and p != policy]
            before = self._clock.now() - timedelta(days=policy.retention_days)
            while written < MAX_FILES_PER_RUN:
                roots = await self.store.due(policy, before, others, self._instances_per_file)
                count = await self._move(files, roots) if roots else 0
                if not count:
                    break
                moved += count
                written += 1
        await self._sweep(files)
        return RunResult(instances=moved, files=written)

    async def _move(self, files: ArchiveFiles, roots: Sequence[str]) -> int:
        trees = await self.store.trees(roots)
        if not trees:
            return 0
        name = f"{self._ids.root()}.parquet"  # in the order of time
        written = await files.write(name, trees)
        if not await self.store.move(trees, written):
            # Somebody changed something meanwhile: what was written is not what is. The next run writes it anew.
            await files.delete(name)
            return 0
        if self._search is not None:
            await self._search.forget([row.instance_id for rows in trees.values() for row in rows if row.instance_id])
        return sum(1 for rows in trees.values() for row in rows if row.is_instance)

    async def _sweep(self, files: ArchiveFiles) -> None:
        """Delete files that a crash left behind, and files whose instances all came back."""
        for name in await self.store.unknown(await files.names(self._orphan_seconds)):
            await files.delete(name)
        for name in await self.store.empty_files():
            await files.delete(name)

    async def run_once(self, request_id: str) -> RunResult:
        """Move what is due, or tell what that request moved before. Raises FailedPrecondition, Unavailable."""
        known = await self.store.first_run(request_id)
        if known is not None:
            return known
        done = await self.run()
        await self.store.remember_run(request_id, done)
        return done

    async def get(self, instance_id: str, scope: Scope) -> tuple[ArchivedInstance, Kept]:
        """An archived instance and its records, from its file. Raises NotFound, Unavailable."""
        found = await self.store.archived(instance_id, scope)
        if found is None:
            raise not_archived(instance_id)
        rows = await self.files.read(found.file, found.root_id)
        return found, self.store.kept([row for row in rows if row.instance_id == instance_id])

    async def restore(self, instance_id: str, scope: Scope, request_id: str) -> Sequence[str]:
        """Bring an instance back with its tree; returns what is back. Raises NotFound, Unavailable."""
        known = await self.store.restored_by(request_id)
        if known is not None:
            return known
        found = await self.store.archived(instance_id, scope)
        if found is None:
            raise not_archived(instance_id)
        rows = await self.files.read(found.file, found.root_id)
        if not await self.store.restore(found.root_id, rows, request_id):
            raise not_archived(instance_id)
        if self._search is not None:
            await self._search.write(self.store.entries(rows))
        return sorted(row.instance_id for row in rows if row.is_instance)

    async def set_policy(self, policy: Policy, request_id: str) -> Policy:
        """Say when instances of a definition go. Raises InvalidArgument."""
        if not 0 <= policy.retention_days <= MAX_RETENTION_DAYS:
            expected = f"expected 0 to {MAX_RETENTION_DAYS} days (limit: MAX_RETENTION_DAYS)"
            raise InvalidArgument("invalid-retention", f"{expected}, found {policy.retention_days}")
        if not policy.definition_key:
            raise InvalidArgument("invalid-retention", "expected the key of a definition, or *, found none")
        return await self.store.set_policy(policy, request_id)

    async def delete_policy(self, tenant_id: str, definition_key: str, request_id: str) -> None:
        """Keep instances of a definition from the archive again. Raises NotFound."""
        if not await self.store.delete_policy(tenant_id, definition_key, request_id):
            message = f"expected an archive policy, found none for '{definition_key}'"
            raise NotFound("archive-policy-not-found", message, process_definition_key=definition_key)


def not_archived(instance_id: str) -> NotFound:
    """No such instance lies in the archive."""
    return NotFound(
        "archived-instance-not-found",
        f"expected an archived process instance, found none with id '{instance_id}'",
        process_instance_id=instance_id,
    )
