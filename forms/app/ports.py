"""What the use cases of forms need of storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from forms.app.filters import DefinitionFilter, DeploymentFilter, InstanceFilter
from forms.model.records import Definition, Deployment, Instance, Resource
from mesh.paging import Listed, Page

T = TypeVar("T")


class Unit(Protocol):
    """One transaction. Blocking; for the thread that runs it."""

    def answered(self, request_id: str) -> tuple[str, str] | None:
        """What kind of request this id was, and its answer; None if it was none."""
        ...

    def answer(self, request_id: str, kind: str, answer: str, at: datetime, user_id: str) -> None:
        """Remember an answer, which shows data of that user; empty: of nobody."""
        ...

    def deployment(self, deployment_id: str) -> Deployment | None:
        """The deployment of that id, locked."""
        ...

    def deployment_of(self, parent_deployment_id: str) -> Deployment | None:
        """What came with a deployment of the engine, locked."""
        ...

    def add_deployment(self, deployment: Deployment, resources: Sequence[Resource]) -> None:
        """Insert both."""
        ...

    def set_deployment_state(self, deployment_id: str, state: str, at: datetime) -> None:
        """Change the state, and the moment it counts from."""
        ...

    def resources(self, deployment_id: str) -> Sequence[Resource]:
        """By name."""
        ...

    def drop_deployment(self, deployment_id: str) -> None:
        """Delete it with its resources and definitions."""
        ...

    def drop_contents(self, deployment_id: str) -> None:
        """Delete its resources and definitions; its row stays."""
        ...

    def latest_versions(self, keys: Sequence[str], tenant_id: str) -> Mapping[str, int]:
        """The highest version of each key; keys without one are left out."""
        ...

    def add_definitions(self, definitions: Sequence[Definition]) -> None:
        """Insert them."""
        ...

    def instance(self, saga_id: str, step_id: str) -> Instance | None:
        """The submission of that step, locked."""
        ...

    def put_instance(self, instance: Instance, *, is_new: bool) -> None:
        """Insert a submission, or replace what there is of its id."""
        ...

    def submissions_of(self, user_id: str, limit: int) -> Sequence[str]:
        """Ids of what a user submitted and is settled, so many at most, locked."""
        ...

    def open_of(self, user_id: str) -> int:
        """How many submissions of a user are not settled yet."""
        ...

    def forget_submitter(self, ids: Sequence[str]) -> None:
        """Take the user's id off submissions."""
        ...

    def empty(self, ids: Sequence[str]) -> int:
        """Take the values out of submissions; how many had some."""
        ...

    def drop_answers_of(self, user_id: str, limit: int) -> int:
        """Delete remembered answers that show a user's data, so many at most; how many there were."""
        ...


class Store(Protocol):
    """Transactions."""

    async def transact(self, work: Callable[[Unit], T]) -> T:
        """Run `work` in a thread in one transaction, again if another one stood in the way. Raises Unavailable."""
        ...


class Queries(Protocol):
    """The read side: what is committed. All raise Unavailable; lists raise InvalidArgument for paging."""

    async def deployment(self, deployment_id: str) -> Deployment | None: ...

    async def deployments(self, wanted: DeploymentFilter, page: Page) -> Listed[Deployment]:
        """Sorts: id, name, deployTime, tenantId; default id."""
        ...

    async def resource(self, deployment_id: str, name: str) -> bytes | None: ...

    async def definition(self, definition_id: str) -> Definition | None: ...

    async def definitions(self, wanted: DefinitionFilter, page: Page) -> Listed[Definition]:
        """Sorts: id, key, name, category, version, deploymentId, tenantId; default name (Flowable's)."""
        ...

    async def definition_of_parent(self, key: str, parent_deployment_id: str, tenant_id: str) -> Definition | None:
        """The form of that key that came with a deployment of the engine."""
        ...

    async def definition_of_tenant(self, key: str, tenant_id: str, version: int | None) -> Definition | None:
        """That version, or the latest."""
        ...

    async def instance(self, instance_id: str) -> Instance | None: ...

    async def instance_of_step(self, saga_id: str, step_id: str) -> Instance | None: ...

    async def instances(self, wanted: InstanceFilter, page: Page) -> Listed[Instance]:
        """Sorts: id, submittedDate, submittedBy, taskId, processInstanceId, formDefinitionId, tenantId; default id."""
        ...


Work = Callable[[Unit], Any]
