"""Finding forms: by id, or by the form key that a process names. Forms that were read are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from forms.app.deploying import stored_limits
from forms.app.ports import Queries
from forms.model.form import Form
from forms.model.limits import FormLimits
from forms.model.reading import read_form
from forms.model.records import Definition
from mesh.errors import InvalidArgument, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAsk:
    """Which form is meant: exactly one of `definition_id` and `key`.

    `tenant_id` is where a key is looked for; `visible_tenant` bounds what an id may name, None: nothing does.
    `fallback` None: as the setting says.
    """

    definition_id: str = ""
    key: str = ""
    tenant_id: str = ""
    visible_tenant: str | None = None
    parent_deployment_id: str = ""
    version: int | None = None
    fallback: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A definition and its form."""

    definition: Definition
    form: Form


class Resolving:
    """Finds forms."""

    def __init__(self, queries: Queries, limits: FormLimits, *, kept: int, default_tenant: str, fallback: bool) -> None:
        """Keep so many forms read. `default_tenant` is looked into where a tenant has no form of a key."""
        self._queries = queries
        self._limits = stored_limits(limits)
        self._most = kept
        self._default_tenant = default_tenant
        self._fallback = fallback
        self._kept: OrderedDict[str, Form] = OrderedDict()

    async def find(self, ask: FormAsk) -> Found:
        """Return the form. Raises NotFound, InvalidArgument unless one of id and key is given."""
        if bool(ask.definition_id) == bool(ask.key):
            found = "both" if ask.key else "neither"
            raise InvalidArgument("no-form", f"expected either a form_definition_id or a form_key, found {found}")
        definition = await self._definition(ask)
        return Found(definition=definition, form=await self._form(definition))

    async def _definition(self, ask: FormAsk) -> Definition:
        if ask.definition_id:
            found = await self._queries.definition(ask.definition_id)
            hidden = ask.visible_tenant is not None and ask.visible_tenant != (found.tenant_id if found else "")
            if found is None or (hidden and found.tenant_id != self._default_tenant):
                raise unknown_definition(ask.definition_id)
            return found
        found = None
        if ask.parent_deployment_id and ask.version is None:
            found = await self._queries.definition_of_parent(ask.key, ask.parent_deployment_id, ask.tenant_id)
        if found is None:
            found = await self._queries.definition_of_tenant(ask.key, ask.tenant_id, ask.version)
        fallback = self._fallback if ask.fallback is None else ask.fallback
        if found is None and fallback and ask.tenant_id != self._default_tenant:
            found = await self._queries.definition_of_tenant(ask.key, self._default_tenant, ask.version)
        if found is None:
            where = f"in tenant '{ask.tenant_id}'" if ask.tenant_id else "without a tenant"
            raise NotFound(
                "form-not-found", f"expected a form, found none with key '{ask.key}' {where}", form_key=ask.key
            )
        return found

    async def _form(self, definition: Definition) -> Form:
        form = self._kept.get(definition.id)
        if form is not None:
            self._kept.move_to_end(definition.id)
            return form
        data = await self._queries.resource(definition.deployment_id, definition.resource_name)
        if data is None:
            raise unknown_definition(definition.id)
        form = await asyncio.to_thread(read_form, data, self._limits)
        self._kept[definition.id] = form
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return form


def unknown_definition(definition_id: str) -> NotFound:
    """The refusal for an id that no definition has."""
    return NotFound(
        "form-definition-not-found",
        f"expected a form definition, found none with id '{definition_id}'",
        form_definition_id=definition_id,
    )
