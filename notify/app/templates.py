"""Templates: which one a message is made with, and keeping them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from mesh.clock import Clock
from mesh.errors import AlreadyExists, FailedPrecondition, FieldViolation, InvalidArgument, NotFound, PermissionDenied
from mesh.paging import Listed, Page
from notify.app.contexts import example, localized
from notify.app.ports import Renderer, TemplateFailed, Texts
from notify.app.shipped import PREFIX, shipped
from notify.model.names import CHANNELS, EVENTS, key_of
from notify.model.records import Facts, Template
from notify.settings import NotifySettings

LAST_LANGUAGE: Final = "en"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", re.ASCII)
MAX_LANGUAGE_CHARACTERS: Final = 35
_Key = tuple[str, str, str]


class TemplateFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which templates; None: all."""

    event: str | None = None
    channel: str | None = None
    language: str | None = None
    tenant_id: str | None = None
    visible_tenants: tuple[str, ...] | None = None
    """None: those of all."""

    def given(self) -> dict[str, str]:
        """The columns that are to have a value."""
        names = ("event", "channel", "language", "tenant_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class TemplateStore(Protocol):
    """Templates that were added. All methods raise Unavailable."""

    def candidates(self, event: str, languages: Sequence[str]) -> Awaitable[Sequence[Template]]:
        """Return the templates of an event in these languages."""
        ...

    def get(self, template_id: str) -> Awaitable[Template | None]:
        """Return one, or None."""
        ...

    def listed(self, wanted: TemplateFilter, page: Page) -> Awaitable[Listed[Template]]:
        """Return a page."""
        ...

    def add(self, template: Template, request_id: str) -> Awaitable[Template | None]:
        """Add; None if it is there already."""
        ...

    def change(self, template: Template, request_id: str) -> Awaitable[Template | None]:
        """Replace the texts; None if there is none."""
        ...

    def remove(self, template_id: str, request_id: str) -> Awaitable[bool]:
        """Remove; False if there is none."""
        ...

    def was_removed(self, template_id: str, request_id: str) -> Awaitable[bool]:
        """Tell whether this request removed it already."""
        ...


def is_language(text: str) -> bool:
    """Tell whether a text has the form of a BCP 47 language."""
    return len(text) <= MAX_LANGUAGE_CHARACTERS and _LANGUAGE.fullmatch(text) is not None


def languages_of(language: str, usual: str) -> Sequence[str]:
    """In which languages a text is looked for, best first."""
    found = dict.fromkeys((language, language.partition("-")[0], usual, usual.partition("-")[0], LAST_LANGUAGE))
    return [name for name in found if name]


def _keys(channel: str, languages: Sequence[str], tenant_id: str) -> Iterator[_Key]:
    for tenant in dict.fromkeys((tenant_id, "")):
        for language in languages:
            for way in dict.fromkeys((channel, "")):
                yield tenant, language, way


class TemplateChoice:
    """Finds the template of a message."""

    def __init__(self, store: TemplateStore, settings: NotifySettings) -> None:
        self._store = store
        self._usual = settings.language

    async def find(self, event: str, channel: str, language: str, tenant_id: str) -> Template:
        """The template: by tenant, then language, then channel; there is always a shipped one. Raises Unavailable."""
        languages = languages_of(language, self._usual)
        added = {(t.tenant_id, t.language, t.channel): t for t in await self._store.candidates(event, languages)}
        for key in _keys(channel, languages, tenant_id):
            tenant, name, way = key
            found = added.get(key)
            if found is None and not tenant and not way:
                found = shipped().get(f"{PREFIX}{name}.{event}")
            if found is not None:
                return found
        raise LookupError(f"expected a shipped template for {event} in {LAST_LANGUAGE}")


class Templates:
    """Keeps templates and shows what they make."""

    def __init__(
        self,
        store: TemplateStore,
        choice: TemplateChoice,
        renderer: Renderer,
        settings: NotifySettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._choice = choice
        self._renderer = renderer
        self._settings = settings
        self._clock = clock

    async def create(self, template: Template, request_id: str) -> Template:
        """Add a template; its id is made here. Raises InvalidArgument, AlreadyExists, Unavailable."""
        _check_names(template.event, template.channel)
        if not is_language(template.language):
            raise _refuse("language", f"expected a language such as de or de-AT, found '{template.language}'")
        await self._check_texts(template)
        key = key_of("template", template.event, template.channel, template.language, template.tenant_id)
        made = msgspec.structs.replace(template, id=key, updated_at=self._clock.now())
        added = await self._store.add(made, request_id)
        if added is None:
            place = f"'{template.event}' for channel '{template.channel}' in {template.language}"
            raise AlreadyExists("template-exists", f"expected no template of {place} yet, found one", template_id=key)
        return added

    async def get(self, template_id: str, tenant_id: str | None) -> Template:
        """One template; a tenant sees its own and those of all. Raises NotFound, Unavailable."""
        found = shipped().get(template_id) or await self._store.get(template_id)
        if found is None or (tenant_id is not None and found.tenant_id not in ("", tenant_id)):
            raise _not_found(template_id)
        return found

    async def listed(
        self, wanted: TemplateFilter, page: Page, tenant_id: str | None, *, of_shipped: bool
    ) -> Listed[Template]:
        """A page of those that were added, or all shipped ones in one page. Raises InvalidArgument, Unavailable."""
        if not of_shipped:
            if tenant_id is not None:
                wanted = msgspec.structs.replace(wanted, visible_tenants=tuple(dict.fromkeys(("", tenant_id))))
            return await self._store.listed(wanted, page)
        given = wanted.given()
        rows = [t for t in shipped().values() if all(getattr(t, name) == value for name, value in given.items())]
        return Listed(rows=rows, total=len(rows), start=0, sort="event", order="asc", next_page_token="")

    async def update(self, template_id: str, texts: Texts, request_id: str, tenant_id: str | None) -> Template:
        """Replace the texts. Raises NotFound, FailedPrecondition, InvalidArgument, Unavailable."""
        found = await self._own(template_id, tenant_id)
        changed = msgspec.structs.replace(
            found, subject=texts.subject, text=texts.text, html=texts.html, updated_at=self._clock.now()
        )
        await self._check_texts(changed)
        written = await self._store.change(changed, request_id)
        if written is None:
            raise _not_found(template_id)
        return written

    async def delete(self, template_id: str, request_id: str, tenant_id: str | None) -> None:
        """Remove. Raises NotFound, FailedPrecondition, Unavailable."""
        if await self._store.get(template_id) is None and await self._store.was_removed(template_id, request_id):
            return
        await self._own(template_id, tenant_id)
        if not await self._store.remove(template_id, request_id):
            raise _not_found(template_id)

    async def preview(self, template: Template, given: Facts) -> Texts:
        """Render the texts, or those of a message if none is given, with an example and what is given over it.

        Raises InvalidArgument, Unavailable.
        """
        _check_names(template.event, template.channel)
        if not (template.subject or template.text or template.html):
            template = await self._choice.find(template.event, template.channel, template.language, template.tenant_id)
        else:
            self._check_lengths(template)
        now = self._clock.now()
        language = template.language or self._settings.language
        context = {**example(template.event, now, language, self._settings.time_zone), **given}
        try:
            return await self._renderer.render(template, localized(context, now))
        except (TemplateFailed, ValueError) as failed:
            raise InvalidArgument("template-fails", str(failed)) from failed

    async def _own(self, template_id: str, tenant_id: str | None) -> Template:
        """One that may be changed: what all tenants share is not one tenant's to change."""
        _refuse_shipped(template_id)
        found = await self.get(template_id, tenant_id)
        if tenant_id is not None and found.tenant_id != tenant_id:
            message = "expected a template of the caller's tenant, found one that all tenants share"
            raise PermissionDenied("template-shared", message, template_id=template_id)
        return found

    async def _check_texts(self, template: Template) -> None:
        if not template.text:
            raise _refuse("text", "expected a plain text, found none: not every channel can show HTML")
        self._check_lengths(template)
        try:
            await self._renderer.check(template)
        except TemplateFailed as failed:
            raise InvalidArgument("template-malformed", str(failed)) from failed

    def _check_lengths(self, template: Template) -> None:
        limit = self._settings.template.characters
        for name in ("subject", "text", "html"):
            length = len(getattr(template, name))
            if length > limit:
                message = f"expected at most {limit} characters (setting: template_characters), found {length}"
                raise _refuse(name, message)


def _check_names(event: str, channel: str) -> None:
    if event not in EVENTS:
        raise _refuse("event", f"expected one of {', '.join(EVENTS)}, found '{event}'")
    if channel and channel not in CHANNELS:
        raise _refuse("channel", f"expected one of {', '.join(CHANNELS)} or none, found '{channel}'")


def _refuse(field: str, message: str) -> InvalidArgument:
    return InvalidArgument("invalid-template", message, violations=[FieldViolation(field, message)])


def _refuse_shipped(template_id: str) -> None:
    if template_id in shipped():
        raise FailedPrecondition(
            "template-shipped",
            f"expected a template that was added, found '{template_id}', which comes with notify: add one of the same "
            "event, channel and language to override it",
            template_id=template_id,
        )


def _not_found(template_id: str) -> NotFound:
    return NotFound(
        "template-not-found", f"expected a template, found none with id '{template_id}'", template_id=template_id
    )
