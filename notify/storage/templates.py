"""Templates that were added, and users' preferences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection as Reader
from sqlalchemy import select

from mesh.db.database import Database
from mesh.db.statements import Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch
from notify.app.templates import TemplateFilter
from notify.model.records import Preferences, Template
from notify.storage import tables
from notify.storage.requests import Answers
from notify.storage.rows import TEMPLATES

_template: Final = tables.template.c
SORTING: Final = Sorting(
    name="notification-templates",
    columns={"event": _template.event, "id": _template.id},
    default="event",
    key=_template.id,
)
_ONE: Final = Sql(f"SELECT {TEMPLATES.columns} FROM template WHERE id = ? {{for update}}")
_DROP: Final = Delete((tables.template, ("id",)))
_PREFERENCES: Final = Sql("SELECT document FROM preferences WHERE user_id = ? {for update}")
_PUT_PREFERENCES: Final = Insert(tables.preferences, replace=True)
_DROP_PREFERENCES: Final = Delete((tables.preferences, ("user_id",)))


class TemplateRows:
    """The `TemplateStore`."""

    def __init__(self, database: Database, answers: Answers) -> None:
        self._database = database
        self._answers = answers

    async def candidates(self, event: str, languages: Sequence[str]) -> Sequence[Template]:
        """Return the templates of an event in these languages. Raises Unavailable."""
        statement = select(tables.template).where(_template.event == event, _template.language.in_(list(languages)))

        def work(reader: Reader) -> list[Template]:
            return [TEMPLATES.read(tuple(row)) for row in reader.execute(statement)]

        return await in_database(self._database, work)

    async def get(self, template_id: str) -> Template | None:
        """Return one, or None. Raises Unavailable."""
        statement = select(tables.template).where(_template.id == template_id)
        row = await in_database(self._database, lambda reader: reader.execute(statement).first())
        return None if row is None else TEMPLATES.read(tuple(row))

    async def listed(self, wanted: TemplateFilter, page: Page) -> Listed[Template]:
        """Return a page. Raises InvalidArgument, Unavailable."""
        statement = select(tables.template).where(*(_template[name] == value for name, value in wanted.given().items()))
        if wanted.visible_tenants is not None:
            statement = statement.where(_template.tenant_id.in_(wanted.visible_tenants))

        def work(reader: Reader) -> Listed[Template]:
            return fetch(reader, SORTING, statement, wanted, page).read(lambda row: TEMPLATES.read(tuple(row)[:-2]))

        return await in_database(self._database, work)

    async def add(self, template: Template, request_id: str) -> Template | None:
        """Add; None if it is there already. Raises Unavailable."""

        def work(writer: Writer) -> tuple[list[Statement], Template | None]:
            if writer.run([_ONE.of(template.id)])[0].rows:
                return [], None
            return [TEMPLATES.add.of([TEMPLATES.row(template)])], template

        return await self._answers.once(request_id, "CreateTemplate", Template | None, work)

    async def change(self, template: Template, request_id: str) -> Template | None:
        """Replace the texts; None if there is none. Raises Unavailable."""

        def work(writer: Writer) -> tuple[list[Statement], Template | None]:
            if not writer.run([_ONE.of(template.id)])[0].rows:
                return [], None
            return [TEMPLATES.put.of([TEMPLATES.row(template)])], template

        return await self._answers.once(request_id, "UpdateTemplate", Template | None, work)

    async def remove(self, template_id: str, request_id: str) -> bool:
        """Remove; False if there is none. Raises Unavailable."""

        def work(writer: Writer) -> tuple[list[Statement], bool]:
            if not writer.run([_ONE.of(template_id)])[0].rows:
                return [], False
            return [_DROP.of([(template_id,)])], True

        return await self._answers.once(request_id, "DeleteTemplate", bool, work)

    async def was_removed(self, template_id: str, request_id: str) -> bool:  # noqa: ARG002 - the request says it all
        """Tell whether this request removed it already. Raises Unavailable."""

        def work(_: Writer) -> tuple[list[Statement], bool]:
            return [], False

        return await self._answers.once(request_id, "DeleteTemplate", bool, work)


class PreferenceRows:
    """The `PreferenceStore`."""

    def __init__(self, database: Database, answers: Answers) -> None:
        self._database = database
        self._answers = answers

    async def get(self, user_id: str) -> Preferences | None:
        """Return what a user set, or None. Raises Unavailable."""
        table = tables.preferences
        statement = select(table.c.document).where(table.c.user_id == user_id)
        text = await in_database(self._database, lambda reader: reader.execute(statement).scalar_one_or_none())
        return None if text is None else msgspec.json.decode(text, type=Preferences)

    async def put(self, preferences: Preferences, request_id: str) -> Preferences:
        """Replace what a user set. Raises Unavailable."""

        def work(_: Writer) -> tuple[list[Statement], Preferences]:
            document = msgspec.json.encode(preferences).decode()
            assert preferences.updated_at is not None, "what is written says when"
            row = (preferences.user_id, preferences.incidents, document, text_of_moment(preferences.updated_at))
            return [_PUT_PREFERENCES.of([row])], preferences

        return await self._answers.once(request_id, "UpdatePreferences", Preferences, work, lambda found: found.user_id)

    async def remove(self, user_id: str, request_id: str) -> bool:
        """Forget what a user set; False if nothing. Raises Unavailable."""

        def work(writer: Writer) -> tuple[list[Statement], bool]:
            if not writer.run([_PREFERENCES.of(user_id)])[0].rows:
                return [], False
            return [_DROP_PREFERENCES.of([(user_id,)])], True

        return await self._answers.once(request_id, "DeletePreferences", bool, work)
