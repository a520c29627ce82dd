"""Erasing in the database: one transaction with the proof, on the store's own connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from history.app.erasing import Erased, PersonWish, Rewritten, erased_row
from history.model.erasure import PERSON, TENANT, Erasure, Rows
from history.model.ids import person_digest, tenant_digest
from history.storage import (
    archive_tables,
    erasure_tables,
    tables,
)
from history.storage.erased_people import (
    TABLES,
    check_parked,
    hangs_at,
    rows_of_person,
    sums_of_person,
    texts_of,
    words_of_changed,
)
from history.storage.erased_tenants import check_over, drop_tenant
from history.storage.recording import DROP_LINKS
from history.storage.store import Store
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.statements import COMMIT, Delete, Insert, Row, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch

_erasure: Final = erasure_tables.erasure.c
_person: Final = erasure_tables.erased_person.c
ERASURES: Final = Sorting(name="erasures", columns={"number": _erasure.number}, default="number", key=_erasure.number)
_PUT: Final = {name: Insert(table, replace=True) for name, table in TABLES.items()}
_PUT_LINKS: Final = Insert(tables.identity_link, replace=True)
_PUT_PERSON: Final = Insert(erasure_tables.erased_person, replace=True)
_PUT_ERASED_VARIABLES: Final = Insert(erasure_tables.erased_variable, replace=True)
_PUT_ERASURE: Final = Insert(erasure_tables.erasure)
_PUT_FILE: Final = Insert(archive_tables.archive_file)
_DROP_FILES: Final = Delete((archive_tables.archive_file, ("id",)))
_DROP_ARCHIVED: Final = Delete((archive_tables.archived_instance, ("id",)))
_FILES: Final = Sql("SELECT id FROM archive_file ORDER BY id {for update}")
_FILE_COUNTS: Final = Sql("SELECT instances FROM archive_file WHERE id = ?")
_MOVE_FILE: Final = Sql("UPDATE archived_instance SET file_id = ? WHERE file_id = ?")
_ARCHIVED_STARTER: Final = Sql("UPDATE archived_instance SET start_user_id = ? WHERE start_user_id = ?")
_POLICY_CHANGER: Final = Sql("UPDATE archive_policy SET changed_by = ? WHERE changed_by = ?")
_LAST: Final = Sql("SELECT number, hash FROM erasure ORDER BY number DESC LIMIT 1 {for update}")


class ErasureRows:
    """The `ErasureStore` of a database."""

    def __init__(self, store: Store, database: Database, clock: Clock, key: str, *, with_terms: bool) -> None:
        """`key` signs the proofs; `with_terms`: the words of texts are in the database."""
        self._store = store
        self._database = database
        self._clock = clock
        self._key = key
        self._with_terms = with_terms

    async def known(self, request_id: str) -> Erasure | None:
        """The erasure of that request."""
        if not request_id:
            return None
        found = await self._read(select(erasure_tables.erasure).where(_erasure.request_id == request_id))
        return found[0] if found else None

    async def get(self, erasure_id: str) -> Erasure | None:
        """One proof."""
        found = await self._read(select(erasure_tables.erasure).where(_erasure.id == erasure_id))
        return found[0] if found else None

    async def from_number(self, number: int, limit: int) -> Sequence[Erasure]:
        """Proofs from that number on."""
        statement = select(erasure_tables.erasure).where(_erasure.number >= number).order_by(_erasure.number)
        return await self._read(statement.limit(limit))

    async def listed(self, subject_id: str | None, page: Page) -> Listed[Erasure]:
        """A page of proofs, of all or of one user or tenant."""
        statement = select(erasure_tables.erasure)
        if subject_id is not None:
            subjects = (person_digest(subject_id), tenant_digest(subject_id))
            statement = statement.where(_erasure.subject.in_(subjects))

        def work(connection: Connection) -> Listed[Erasure]:
            return fetch(connection, ERASURES, statement, subject_id, page).read(_erasure_of)

        return await in_database(self._database, work)

    async def files(self) -> Sequence[str]:
        """All archive files."""
        statement = select(archive_tables.archive_file.c.id).order_by(archive_tables.archive_file.c.id)
        return await in_database(self._database, lambda connection: list(connection.execute(statement).scalars()))

    async def archived_of_tenant(self, tenant_id: str) -> Sequence[str]:
        """The archived instances of a tenant."""
        archived = archive_tables.archived_instance.c
        statement = select(archived.id).where(archived.tenant_id == tenant_id)
        return await in_database(self._database, lambda connection: list(connection.execute(statement).scalars()))

    async def replacement(self, user_id: str) -> str:
        """What stands for the person since an erasure before; empty if there was none."""
        statement = select(_person.replacement).where(_person.person == person_digest(user_id))
        found = await in_database(self._database, lambda connection: connection.execute(statement).scalar())
        return str(found or "")

    async def erase_person(
        self, wish: PersonWish, replacement: str, files: Sequence[str], rewritten: Sequence[Rewritten], erasure_id: str
    ) -> Erased | None:
        """Erase and prove, in one transaction; None, and nothing, if the archive has other files by now."""

        def run() -> Erased | None:
            writer = self._store.writer
            if [row[0] for row in writer.run([_FILES.of()])[0].rows] != list(files):
                writer.rollback()
                return None
            check_parked(writer, wish.user_id)
            counts: dict[str, Rows] = {}
            packet, texts = self._person_packet(writer, wish, replacement, counts)
            packet += _files_packet(writer, rewritten, counts, self._now())
            proof = self._proof(writer, erasure_id, PERSON, wish.user_id, wish.requested_by, counts)
            writer.run([*packet, _proof_statement(proof, wish.request_id), COMMIT])
            return Erased(proof=proof, texts=texts)

        return await self._store.in_thread(run)

    async def erase_tenant(
        self,
        tenant_id: str,
        requested_by: str,
        files: Sequence[str],
        rewritten: Sequence[Rewritten],
        erasure_id: str,
        request_id: str,
    ) -> Erased | None:
        """Delete all of a tenant and prove it, in one transaction; None if the archive has other files by now."""

        def run() -> Erased | None:
            writer = self._store.writer
            if [row[0] for row in writer.run([_FILES.of()])[0].rows] != list(files):
                writer.rollback()
                return None
            check_over(writer, tenant_id)
            now = self._now()
            counts = drop_tenant(writer, tenant_id, [name for one in rewritten for name in one.gone], now)
            packet = _files_packet(writer, rewritten, counts, now)
            proof = self._proof(writer, erasure_id, TENANT, tenant_id, requested_by, counts)
            writer.run([*packet, _proof_statement(proof, request_id), COMMIT])
            return Erased(proof=proof)

        return await self._store.in_thread(run)

    def _person_packet(
        self, writer: Writer, wish: PersonWish, replacement: str, counts: dict[str, Rows]
    ) -> tuple[list[Statement], tuple[tuple[str, str], ...]]:
        """What changes for a person, with the counts of rows; and the texts that change."""
        user_id, now = wish.user_id, self._now()
        rows, links, involved = rows_of_person(writer, wish)
        erased = [
            (row, erased_row(row, wish, replacement, of_person=row.instance_id in involved or hangs_at(row, involved)))
            for row in rows
        ]
        changed = [new for old, new in erased if new is not old]
        packet: list[Statement] = [
            _PUT_PERSON.of([(person_digest(user_id), replacement, wish.with_comments, now)]),
            _ARCHIVED_STARTER.of(replacement, user_id),
            _POLICY_CHANGER.of(replacement, user_id),
        ]
        by_table: dict[str, list[Row]] = {}
        for row in changed:
            names = [column.name for column in TABLES[row.table].columns]
            by_table.setdefault(row.table, []).append(tuple(row.values[name] for name in names))
        for name, found in sorted(by_table.items()):
            packet.append(_PUT[name].of(found))
            counts[name] = Rows(table=name, changed=len(found))
        if links:
            packet += [
                DROP_LINKS.of([(row[0], row[1], row[2], row[3]) for row in links]),
                _PUT_LINKS.of([(row[0], row[1], replacement, row[3], row[4]) for row in links]),
            ]
            counts["historic_identity_link"] = Rows(table="historic_identity_link", changed=len(links))
        named = {
            str(row.values["id"] if row.table == "historic_variable" else row.values["variable_id"])
            for row in changed
            if row.table in ("historic_variable", "historic_detail") and row.values["name"] in wish.variable_names
        }
        if named:
            packet.append(_PUT_ERASED_VARIABLES.of([(key, now) for key in sorted(named)]))
        if self._with_terms:
            packet += words_of_changed(changed)
        packet += sums_of_person(writer, user_id, replacement, counts)
        return packet, tuple(texts_of(changed))

    def _proof(
        self,
        writer: Writer,
        erasure_id: str,
        kind: str,
        subject: str,
        requested_by: str,
        counts: dict[str, Rows],
    ) -> Erasure:
        last = writer.run([_LAST.of()])[0].rows
        proof = Erasure(
            id=erasure_id,
            number=last[0][0] + 1 if last else 1,
            kind=kind,
            subject=person_digest(subject) if kind == PERSON else tenant_digest(subject),
            requested_by=requested_by,
            erased_at=self._clock.now(),
            rows=tuple(counts[name] for name in sorted(counts)),
            previous_hash=last[0][1] if last else "",
        )
        return proof.sealed(self._key)

    def _now(self) -> str:
        return text_of_moment(self._clock.now())

    async def _read(self, statement: Select[Any]) -> list[Erasure]:
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [_erasure_of(row) for row in rows]


def _files_packet(writer: Writer, rewritten: Sequence[Rewritten], counts: dict[str, Rows], now: str) -> list[Statement]:
    packet: list[Statement] = []
    changed = deleted = 0
    for one in rewritten:
        changed, deleted = changed + one.changed, deleted + one.deleted
        instances = writer.run([_FILE_COUNTS.of(one.former)])[0].rows[0][0] - len(one.gone)
        if one.gone:
            packet.append(_DROP_ARCHIVED.of([(name,) for name in one.gone]))
        if one.present is not None:
            file = one.present
            packet += [
                _PUT_FILE.of([(file.name, file.name, file.sha256, instances, file.records, file.bytes, now)]),
                _MOVE_FILE.of(file.name, one.former),
            ]
        packet.append(_DROP_FILES.of([(one.former,)]))
    if rewritten:
        counts["archive"] = Rows(table="archive", changed=changed, deleted=deleted)
    return packet


def _proof_statement(proof: Erasure, request_id: str) -> Statement:
    return _PUT_ERASURE.of(
        [
            (
                proof.id,
                proof.number,
                proof.kind,
                proof.subject,
                proof.requested_by,
                text_of_moment(proof.erased_at),
                msgspec.json.encode(proof.rows).decode(),
                proof.previous_hash,
                proof.hash,
                proof.signature,
                request_id,
            )
        ]
    )


def _erasure_of(row: Sequence[Any]) -> Erasure:
    return Erasure(
        id=row[0],
        number=row[1],
        kind=row[2],
        subject=row[3],
        requested_by=row[4],
        erased_at=row[5],
        rows=msgspec.json.decode(row[6], type=tuple[Rows, ...]),
        previous_hash=row[7],
        hash=row[8],
        signature=row[9],
    )
