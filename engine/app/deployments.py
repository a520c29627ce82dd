"""Deploying: files in, definitions out, all of it in one transaction or none of it. And taking deployments away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.archives import DeploymentLimits, File
from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.definitions import DefinitionCache
from engine.app.form_deployments import FormDeployments, is_form
from engine.app.models import MAX_NAME, Model, SyntaxCheck, compile_stored, gather, placed, read_models, record_of
from engine.app.repository import (
    Commands,
    DefinitionRecord,
    DeploymentRecord,
    Reply,
    RepositoryStore,
    RepositoryUnit,
    ResourceRecord,
    Starter,
)
from engine.app.start_events import StartEvents, cannot_restore, check_free, owners_except, start_events
from engine.kernel.commands import DeleteInstance
from engine.kernel.definition import Definition
from engine.kernel.errors import NOT_FOUND, Refused, failed, invalid, not_found
from engine.kernel.registry import Registry

CASCADE_PASSES: Final = 10
PAGE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What is asked of a deployment. `name` decides with the tenant what is a duplicate."""

    files: Sequence[File]
    name: str = ""
    key: str = ""
    category: str = ""
    tenant_id: str = ""
    skip_duplicate: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A deployment that was read and is not stored yet."""

    files: Sequence[File]
    models: Sequence[Model]
    deployment: DeploymentRecord


class Deployments:
    """Deploys and deletes."""

    def __init__(
        self,
        store: RepositoryStore,
        definitions: DefinitionCache,
        commands: Commands,
        registry: Registry,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        limits: DeploymentLimits | None = None,
        syntax_error: SyntaxCheck | None = None,
        forms: FormDeployments | None = None,
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`rights` bind whoever asks: they delete what they see."""
        self._rights = rights
        self._store = store
        self._definitions = definitions
        self._commands = commands
        self._registry = registry
        self._now = now
        self._new_id = new_id
        self._limits = limits or DeploymentLimits()
        self._syntax_error = syntax_error
        self._forms = forms or FormDeployments(None)

    async def deploy(self, ask: Deploy) -> DeploymentRecord:
        """Deploy files; every executable process among them becomes the next version of its key and tenant.

        Raises Refused, nothing being deployed: INVALID_ARGUMENT (no file, a name twice, a model that cannot run, a key
        twice, a message that starts another process), RESOURCE_EXHAUSTED beyond a limit. Raises InvalidArgument, the
        same way, with everything that is wrong with the forms among the files, Unavailable if nobody can tell now.
        """
        _check_texts(name=ask.name, key=ask.key, category=ask.category, tenant_id=ask.tenant_id)
        read = await asyncio.to_thread(self._read, ask)
        has_forms = await self._forms.prepare(read.deployment, read.files)
        try:
            found = await asyncio.to_thread(self._deploy, ask, read)
        except Refused:
            if has_forms:
                await self._forms.discard(read.deployment.id)
            raise
        if has_forms and found.id == read.deployment.id:
            await self._forms.confirm(found.id)
        elif has_forms:
            # A repeated request, or a duplicate: there is another deployment, which has its forms.
            await self._forms.discard(read.deployment.id)
        return found

    async def delete(self, deployment_id: str, *, cascade: bool, user_id: str = "", request_id: str = "") -> None:
        """Delete a deployment and its definitions; the versions before them take their start events back.

        With `cascade` its instances are deleted first; one that was called goes with the whole tree that called it.
        Raises Refused: NOT_FOUND; FAILED_PRECONDITION while instances run.
        """
        for _ in range(CASCADE_PASSES if cascade else 1):
            if cascade:
                await self._delete_instances(deployment_id, user_id)
            try:
                had_forms = await asyncio.to_thread(self._delete, deployment_id, request_id)
            except Refused as refused:
                if not cascade or refused.reason != "deployment-in-use":
                    raise
            else:
                if had_forms:
                    await self._forms.discard(deployment_id)
                return
        raise _in_use(deployment_id, "new ones were started while the others were being deleted")

    # --- deploying, in a thread ---------------------------------------------------------------------------------------

    def _read(self, ask: Deploy) -> _Read:
        files = gather(ask.files, self._limits)
        models = read_models(files, self._registry, self._limits.model, self._syntax_error)
        deployment = DeploymentRecord(
            id=self._new_id(),
            name=ask.name,
            category=ask.category,
            key=ask.key,
            tenant_id=ask.tenant_id,
            deployed_at=self._now(),
        )
        return _Read(files=files, models=models, deployment=deployment)

    def _deploy(self, ask: Deploy, read: _Read) -> DeploymentRecord:
        deployment, now = read.deployment, read.deployment.deployed_at
        unique = [self._new_id() for _ in read.models]

        def work(unit: RepositoryUnit) -> Reply:
            former = _duplicate(unit, ask, read.files) if ask.skip_duplicate else None
            if former is None:
                _Deploying(unit, now, self._new_id).add(deployment, read.files, read.models, unique)
            return {"deployment": msgspec.to_builtins(former or deployment)}

        reply = self._store.write(work, ask.request_id, "deploy")
        self._definitions.changed()
        return _deployment_in(reply)

    # --- deleting -----------------------------------------------------------------------------------------------------

    def _delete(self, deployment_id: str, request_id: str) -> bool:
        """Delete it; says whether there were forms in it."""
        now = self._now()
        rights = self._rights()

        def work(unit: RepositoryUnit) -> Reply:
            deployment = unit.deployment(deployment_id)
            if deployment is None or (rights is not None and not rights.sees(deployment.tenant_id)):
                raise unknown_deployment(deployment_id)
            records = unit.definitions_in(deployment_id)
            ids = [record.id for record in records]
            unit.lock_definitions(ids)
            if unit.has_instances(ids):
                raise _in_use(deployment_id, "some")
            latest = [record for record in records if unit.latest(record.key, record.tenant_id) == record]
            had_forms = any(is_form(name) for name in unit.resource_names(deployment_id))
            unit.drop_deployment(deployment_id, ids)
            self._restore(unit, latest, now)
            return {"deleted": deployment_id, "forms": had_forms}

        reply = self._store.write(work, request_id, f"delete deployment {deployment_id}")
        self._definitions.changed()
        return bool(reply.get("forms"))

    def _restore(self, unit: RepositoryUnit, gone: Sequence[DefinitionRecord], now: datetime) -> None:
        """Give the start events back to the versions that are the latest again."""
        for record in gone:
            former = unit.latest(record.key, record.tenant_id)
            resource = unit.resource(former.deployment_id, former.resource_name) if former is not None else None
            if former is None or resource is None:
                continue
            definition = compile_stored(former, resource.data, self._registry)
            try:
                events = start_events(definition, now, self._new_id, suspended=former.suspended)
                _check_free(unit, definition, events, frozenset((definition.key,)))
            except Refused as refused:
                raise cannot_restore(refused, former.id) from refused
            unit.add_start_events(events.subscriptions, events.jobs)

    async def _delete_instances(self, deployment_id: str, user_id: str) -> None:
        def roots() -> tuple[str, ...]:
            return self._store.read(lambda reader: _roots(reader.instances_of(ids, "", "", PAGE)))

        ids = await asyncio.to_thread(lambda: self._store.read(lambda reader: reader.definition_ids_in(deployment_id)))
        seen: set[str] = set()
        while ids:
            found = [root for root in await asyncio.to_thread(roots) if root not in seen]
            if not found:
                return
            seen.update(found)
            deletions = [
                DeleteInstance(instance_id=root, reason=f"deployment {deployment_id} deleted", user_id=user_id)
                for root in found
            ]
            outcomes = await asyncio.gather(*map(self._commands.submit, deletions), return_exceptions=True)
            raise_unless_gone(outcomes)


class _Deploying:
    """One deployment inside its transaction."""

    def __init__(self, unit: RepositoryUnit, now: datetime, new_id: Callable[[], str]) -> None:
        self._unit = unit
        self._now = now
        self._new_id = new_id

    def add(
        self, deployment: DeploymentRecord, files: Sequence[File], models: Sequence[Model], unique: Sequence[str]
    ) -> None:
        resources = {file.name: ResourceRecord(name=file.name, data=file.data) for file in files}
        definitions: list[Definition] = []
        records: list[DefinitionRecord] = []
        former: list[str] = []
        for model, name in zip(models, unique, strict=True):
            latest = self._unit.latest(model.definition.key, deployment.tenant_id)
            if latest is not None:
                former.append(latest.id)
            definition = placed(
                model,
                version=latest.version + 1 if latest is not None else 1,
                deployment_id=deployment.id,
                tenant_id=deployment.tenant_id,
                unique=name,
            )
            if model.picture is not None and model.picture.name not in resources:
                picture = ResourceRecord(name=model.picture.name, data=model.picture.data, generated=True)
                resources[picture.name] = picture
            definitions.append(definition)
            records.append(record_of(definition, model.picture))
        self._unit.add_deployment(deployment, resources.values())
        self._unit.add_definitions(records)
        self._add_starters(definitions)
        self._take_over_starts(definitions, former)

    def _add_starters(self, definitions: Sequence[Definition]) -> None:
        for definition in definitions:
            starters = [Starter(user_id=user) for user in definition.starter_users]
            starters += [Starter(group_id=group) for group in definition.starter_groups]
            self._unit.add_starters(definition.id, [(self._new_id(), starter) for starter in dict.fromkeys(starters)])

    def _take_over_starts(self, definitions: Sequence[Definition], former: Sequence[str]) -> None:
        """The new versions wait for what starts them, the versions before them no longer do."""
        self._unit.drop_start_events(former)
        for definition in definitions:
            events = start_events(definition, self._now, self._new_id)
            _check_free(self._unit, definition, events, frozenset())
            self._unit.add_start_events(events.subscriptions, events.jobs)


def _check_free(unit: RepositoryUnit, definition: Definition, events: StartEvents, own_keys: frozenset[str]) -> None:
    check_free(
        events.messages,
        definition.key,
        lambda names: owners_except(unit, unit.message_owners(names, definition.tenant_id), own_keys),
    )


def _duplicate(unit: RepositoryUnit, ask: Deploy, files: Sequence[File]) -> DeploymentRecord | None:
    """The latest deployment of that name and tenant if it has the same files."""
    former = unit.latest_deployment(ask.name, ask.tenant_id)
    if former is None:
        return None
    kept = {resource.name: resource.data for resource in unit.resources(former.id) if not resource.generated}
    return former if kept == {file.name: file.data for file in files} else None


def _deployment_in(reply: Reply) -> DeploymentRecord:
    found = reply.get("deployment")
    if found is None:
        raise request_id_of_another()
    return msgspec.convert(found, DeploymentRecord)


def _roots(instances: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(root for _, root in instances))


def raise_unless_gone(outcomes: Iterable[Any]) -> None:
    """Raise the first failure that is not about an instance that has ended meanwhile."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not (isinstance(outcome, Refused) and outcome.status == NOT_FOUND):
            raise outcome


def _check_texts(**texts: str) -> None:
    for name, text in texts.items():
        if len(text) > MAX_NAME:
            raise invalid("text-too-long", f"expected {name} to have at most {MAX_NAME} characters, found {len(text)}")


def request_id_of_another() -> Refused:
    """The refusal for a request_id that was used for something else before."""
    return invalid("request-id-reused", "expected a request_id of its own, found one that another request had before")


def unknown_deployment(deployment_id: str) -> Refused:
    """The refusal for an id that no deployment has."""
    return not_found(
        "deployment-not-found",
        f"expected a deployment, found none with id '{deployment_id}'",
        deployment_id=deployment_id,
    )


def _in_use(deployment_id: str, found: str) -> Refused:
    return failed(
        "deployment-in-use",
        f"expected no running instances of deployment {deployment_id}, found {found}: delete them, or ask for cascade",
        deployment_id=deployment_id,
    )
