# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.ArchiveService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.history.v1 import archive_service_pb2 as pb
from flowloom.history.v1 import archive_service_pb2_grpc as services

from history.app.archiving import Archive, ArchiveFilter
from history.model.archive import ArchivedInstance, Policy
from history.rpc import calling, mapping
from history.rpc.log_service import detail, task_log_entry
from mesh.clock import Clock

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class ArchiveServicer(services.ArchiveServiceServicer):
    """Moves, finds and brings back."""

    def __init__(self, archive: Archive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock

    async def ListArchivePolicies(
        self, request: pb.ListArchivePoliciesRequest, _: RpcContext
    ) -> pb.ListArchivePoliciesResponse:
        scope = calling.scope(request.tenant_id)
        tenant_id = request.tenant_id if request.HasField("tenant_id") else None
        page = await self._archive.store.list_policies(tenant_id, mapping.read_page(request), scope)
        return pb.ListArchivePoliciesResponse(data=[_policy(found) for found in page.rows], **mapping.envelope(page))

    async def SetArchivePolicy(self, request: pb.SetArchivePolicyRequest, _: RpcContext) -> pb.ArchivePolicy:
        policy = Policy(
            tenant_id=calling.own_tenant(request.tenant_id),
            definition_key=request.process_definition_key,
            retention_days=request.retention_days,
            changed_at=self._clock.now(),
            changed_by=calling.user_id(),
        )
        return _policy(await self._archive.set_policy(policy, calling.request_id(request.request_id)))

    async def DeleteArchivePolicy(
        self, request: pb.DeleteArchivePolicyRequest, _: RpcContext
    ) -> pb.DeleteArchivePolicyResponse:
        tenant_id, asked = calling.own_tenant(request.tenant_id), calling.request_id(request.request_id)
        await self._archive.delete_policy(tenant_id, request.process_definition_key, asked)
        return pb.DeleteArchivePolicyResponse()

    async def RunArchive(self, request: pb.RunArchiveRequest, _: RpcContext) -> pb.RunArchiveResponse:
        calling.all_tenants()
        done = await self._archive.run_once(calling.request_id(request.request_id))
        return pb.RunArchiveResponse(instances=done.instances, files=done.files)

    async def ListArchivedInstances(
        self, request: pb.ListArchivedInstancesRequest, _: RpcContext
    ) -> pb.ListArchivedInstancesResponse:
        wanted, scope = mapping.read_filter(ArchiveFilter, request), calling.scope(request.tenant_id)
        page = await self._archive.store.list_archived(wanted, mapping.read_page(request), scope)
        data = [_archived(found) for found in page.rows]
        return pb.ListArchivedInstancesResponse(data=data, **mapping.envelope(page))

    async def GetArchivedInstance(
        self, request: pb.GetArchivedInstanceRequest, _: RpcContext
    ) -> pb.GetArchivedInstanceResponse:
        place, kept = await self._archive.get(request.process_instance_id, calling.scope())
        instance = kept.instances[0]
        own = {instance.id: [v for v in kept.variables if not v.task_id and v.execution_id == instance.id]}
        return pb.GetArchivedInstanceResponse(
            archive=_archived(place),
            process_instance=mapping.instance(instance, own),
            activity_instances=[mapping.activity(found) for found in kept.activities],
            task_instances=[mapping.task(found) for found in kept.tasks],
            variable_instances=[mapping.variable(found) for found in kept.variables],
            identity_links=[_link(found.owner_id, found, instance.id) for found in kept.links],
            details=[detail(found) for found in kept.details],
            task_log_entries=[task_log_entry(found) for found in kept.task_log],
        )

    async def RestoreArchivedInstance(
        self, request: pb.RestoreArchivedInstanceRequest, _: RpcContext
    ) -> pb.RestoreArchivedInstanceResponse:
        asked = calling.request_id(request.request_id)
        back = await self._archive.restore(request.process_instance_id, calling.scope(), asked)
        return pb.RestoreArchivedInstanceResponse(process_instance_ids=back)


def _link(owner_id: str, found: Any, instance_id: str) -> Any:
    if owner_id == instance_id:
        return mapping.identity_link(found, instance_id=instance_id)
    return mapping.identity_link(found, task_id=owner_id)


def _policy(policy: Policy) -> pb.ArchivePolicy:
    return pb.ArchivePolicy(
        process_definition_key=policy.definition_key,
        retention_days=policy.retention_days,
        tenant_id=policy.tenant_id,
        change_time=mapping.stamp(policy.changed_at),
        changed_by=policy.changed_by or None,
    )


def _archived(found: ArchivedInstance) -> pb.ArchivedInstance:
    return pb.ArchivedInstance(
        process_instance_id=found.id,
        root_process_instance_id=found.root_id,
        process_definition_id=found.definition_id,
        process_definition_key=found.definition_key,
        business_key=found.business_key or None,
        name=found.name or None,
        start_user_id=found.start_user_id or None,
        start_time=mapping.stamp(found.started_at),
        end_time=mapping.stamp(found.ended_at),
        state=found.state,
        archive_time=mapping.stamp(found.archived_at),
        tenant_id=found.tenant_id,
        file=found.file,
    )
