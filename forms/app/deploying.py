"""Deploying forms: models in, the next versions of their keys out, all of them or none.

Forms that come with a deployment of the engine are prepared before it commits and confirmed after it, so that neither
of both is there without the other. What is prepared cannot be used and has no version yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from forms.app.ports import Store, Unit
from forms.app.requests import once
from forms.model.faults import Fault, refuse
from forms.model.form import Form
from forms.model.limits import FormLimits
from forms.model.reading import UnreadableForm, read_form
from forms.model.records import DEPLOYED, DISCARDED, PREPARED, Definition, Deployment, Resource
from mesh.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

MAX_TEXT: Final = 255
SUFFIXES: Final = (".form", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What is asked of a deployment. `parent_deployment_id`: the engine's deployment that the forms come with."""

    resources: Sequence[Resource]
    name: str = ""
    category: str = ""
    tenant_id: str = ""
    parent_deployment_id: str = ""
    request_id: str = ""


class Deploying:
    """Deploys and deletes."""

    def __init__(
        self, store: Store, *, now: Callable[[], datetime], new_id: Callable[[], str], limits: FormLimits
    ) -> None:
        self._store = store
        self._now = now
        self._new_id = new_id
        self._limits = limits

    async def deploy(self, ask: Deploy) -> Deployment:
        """Deploy forms that come alone.

        Raises InvalidArgument with every fault of every file, ResourceExhausted beyond a limit.
        """
        forms = await asyncio.to_thread(self._read, ask)
        now = self._now()
        deployment = self._deployment(ask, DEPLOYED, now)

        def work(unit: Unit) -> Deployment:
            def add() -> str:
                unit.add_deployment(deployment, ask.resources)
                self._add_definitions(unit, deployment, forms)
                return msgspec.json.encode(deployment).decode()

            return _deployment_in(once(unit, ask.request_id, "deployment", now, add))

        return await self._store.transact(work)

    async def prepare(self, ask: Deploy) -> Deployment:
        """Check and keep forms that come with a deployment of the engine; again: what was kept first.

        Raises as `deploy`; FailedPrecondition if it was discarded before.
        """
        if not ask.parent_deployment_id:
            raise InvalidArgument("no-parent-deployment", "expected a parent_deployment_id, found none")
        _check_texts(parent_deployment_id=ask.parent_deployment_id)
        await asyncio.to_thread(self._read, ask)
        deployment = self._deployment(ask, PREPARED, self._now())

        def work(unit: Unit) -> Deployment:
            former = unit.deployment_of(ask.parent_deployment_id)
            if former is None:
                unit.add_deployment(deployment, ask.resources)
                return deployment
            if former.state == DISCARDED:
                raise _discarded(ask.parent_deployment_id)
            return former

        return await self._store.transact(work)

    async def confirm(self, parent_deployment_id: str) -> Deployment:
        """Make definitions of what was prepared; also after a discard, which was mistaken then. Raises NotFound."""
        now = self._now()

        def work(unit: Unit) -> Deployment:
            found = unit.deployment_of(parent_deployment_id)
            if found is not None and found.state == DEPLOYED:
                return found
            resources = unit.resources(found.id) if found is not None else ()
            if found is None or not resources:
                raise _nothing_prepared(parent_deployment_id)
            deployment = msgspec.structs.replace(found, state=DEPLOYED, deployed_at=now)
            unit.set_deployment_state(found.id, DEPLOYED, now)
            self._add_definitions(unit, deployment, [(each, self.stored(each.data)) for each in resources])
            return deployment

        return await self._store.transact(work)

    async def discard(self, parent_deployment_id: str) -> None:
        """Take away what came with a deployment of the engine, or refuse it beforehand.

        What is only prepared is kept for a while: should the engine have committed nevertheless, a confirm brings it
        back. What was deployed goes for good: the engine's deployment was deleted.
        """
        _check_texts(parent_deployment_id=parent_deployment_id)
        now = self._now()

        def work(unit: Unit) -> None:
            found = unit.deployment_of(parent_deployment_id)
            if found is None:
                ask = Deploy(resources=(), parent_deployment_id=parent_deployment_id)
                unit.add_deployment(self._deployment(ask, DISCARDED, now), ())
            elif found.state != DISCARDED:
                if found.state == DEPLOYED:
                    unit.drop_contents(found.id)
                unit.set_deployment_state(found.id, DISCARDED, now)

        await self._store.transact(work)

    async def delete(self, deployment_id: str, request_id: str, *, visible_tenant: str | None = None) -> None:
        """Delete a deployment that came alone, of the tenant that is visible (None: of any).

        Raises NotFound, FailedPrecondition for one of the engine.
        """
        now = self._now()

        def work(unit: Unit) -> None:
            def drop() -> str:
                found = unit.deployment(deployment_id)
                hidden = found is not None and visible_tenant not in (None, found.tenant_id)
                if found is None or hidden or found.state == DISCARDED:
                    raise unknown_deployment(deployment_id)
                if found.parent_deployment_id:
                    raise FailedPrecondition(
                        "deployment-of-engine",
                        f"expected a deployment that came alone, found one that goes with deployment "
                        f"{found.parent_deployment_id} of the engine: delete that one",
                        parent_deployment_id=found.parent_deployment_id,
                    )
                unit.drop_deployment(deployment_id)
                return ""

            once(unit, request_id, "deployment-deletion", now, drop)

        await self._store.transact(work)

    def stored(self, data: bytes) -> Form:
        """Return the form of a model that was deployed: limits that were lowered since do not count."""
        return read_form(data, stored_limits(self._limits))

    def _read(self, ask: Deploy) -> list[tuple[Resource, Form]]:
        """Read and check all models. Raises InvalidArgument with every fault, ResourceExhausted."""
        _check_texts(name=ask.name, category=ask.category, tenant_id=ask.tenant_id)
        limits = self._limits
        if not ask.resources:
            raise InvalidArgument("no-resource", "expected one or more form models, found none")
        if len(ask.resources) > limits.deployment_forms:
            raise _beyond("deployment_forms", limits.deployment_forms, len(ask.resources))
        size = sum(len(each.data) for each in ask.resources)
        if size > limits.deployment_bytes:
            raise _beyond("deployment_bytes", limits.deployment_bytes, size)
        faults: list[Fault] = []
        forms: list[tuple[Resource, Form]] = []
        names: set[str] = set()
        keys: dict[str, str] = {}
        for each in ask.resources:
            place = f"resources.{each.name}"
            faults += _name_faults(each.name, place, names)
            try:
                form = read_form(each.data, limits)
            except UnreadableForm as unreadable:
                faults += [Fault(_joined(place, fault.place), fault.description) for fault in unreadable.faults]
                continue
            if form.key in keys:
                said = f"expected a key of its own, found '{form.key}' in {keys[form.key]} too"
                faults.append(Fault(f"{place}.key", said))
            keys.setdefault(form.key, each.name)
            forms.append((each, form))
        if faults:
            raise refuse("invalid-form", "expected form models that can be used", faults)
        return forms

    def _deployment(self, ask: Deploy, state: str, now: datetime) -> Deployment:
        return Deployment(
            id=self._new_id(),
            name=ask.name,
            category=ask.category,
            tenant_id=ask.tenant_id,
            parent_deployment_id=ask.parent_deployment_id or None,
            state=state,
            deployed_at=now,
        )

    def _add_definitions(self, unit: Unit, deployment: Deployment, forms: Sequence[tuple[Resource, Form]]) -> None:
        versions = unit.latest_versions([form.key for _, form in forms], deployment.tenant_id)
        unit.add_definitions(
            [
                Definition(
                    id=self._new_id(),
                    key=form.key,
                    version=versions.get(form.key, 0) + 1,
                    name=form.name,
                    description=form.description,
                    category=form.category or deployment.category,
                    tenant_id=deployment.tenant_id,
                    deployment_id=deployment.id,
                    parent_deployment_id=deployment.parent_deployment_id or "",
                    resource_name=resource.name,
                )
                for resource, form in forms
            ]
        )


def stored_limits(limits: FormLimits) -> FormLimits:
    """Return bounds that every model fits which was accepted once."""
    most = 2**31 - 1
    return FormLimits(
        model_bytes=most, fields=most, nesting=100, options=most, outcomes=most, pattern_bytes=limits.pattern_bytes
    )


def unknown_deployment(deployment_id: str) -> NotFound:
    """The refusal for an id that no deployment has."""
    return NotFound(
        "form-deployment-not-found",
        f"expected a form deployment, found none with id '{deployment_id}'",
        deployment_id=deployment_id,
    )


def _name_faults(name: str, place: str, names: set[str]) -> list[Fault]:
    faults = []
    if not name.lower().endswith(SUFFIXES) or len(name) > MAX_TEXT:
        faults.append(Fault(place, f"expected a name of at most {MAX_TEXT} characters that ends in .form or .json"))
    if name in names:
        faults.append(Fault(place, "expected a name of its own, found it twice"))
    names.add(name)
    return faults


def _joined(place: str, inner: str) -> str:
    return f"{place}.{inner}" if inner else place


def _deployment_in(answer: str) -> Deployment:
    return msgspec.json.decode(answer, type=Deployment)


def _check_texts(**texts: str) -> None:
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"expected {name} to have at most {MAX_TEXT} characters, found {len(text)}"
            raise InvalidArgument("text-too-long", message)


def _beyond(limit: str, most: int, found: int) -> ResourceExhausted:
    message = f"expected at most {most}, found {found} (limit: {limit})"
    return ResourceExhausted("deployment-too-large", message, limit=limit)


def _discarded(parent_deployment_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        "form-deployment-discarded",
        f"expected the forms of deployment {parent_deployment_id} not to have been discarded, found they were",
        parent_deployment_id=parent_deployment_id,
    )


def _nothing_prepared(parent_deployment_id: str) -> NotFound:
    return NotFound(
        "form-deployment-not-found",
        f"expected forms that were prepared for deployment '{parent_deployment_id}', found none",
        parent_deployment_id=parent_deployment_id,
    )
