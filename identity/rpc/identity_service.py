# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.identity.v1.IdentityService`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.identity.v1 import group_pb2, privilege_pb2, tenant_pb2, user_pb2
from flowloom.identity.v1 import identity_service_pb2 as pb
from flowloom.identity.v1 import identity_service_pb2_grpc as services
from google.api import httpbody_pb2

from identity.app.accounts import Accounts
from identity.app.groups import Groups
from identity.app.lists import GroupFilter, Lists, PrivilegeFilter, TenantFilter, UserFilter
from identity.app.privileges import Privileges
from identity.app.profiles import Profiles
from identity.app.tenants import Tenants
from identity.model.people import Group, Membership, UserInfo
from identity.rpc import mapping
from identity.rpc.callers import caller
from identity.rpc.uploads import read_picture

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

ENGINE_NAME: Final = "flowloom-identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the servicer calls."""

    accounts: Accounts
    profiles: Profiles
    groups: Groups
    privileges: Privileges
    tenants: Tenants
    lists: Lists
    version: str


class IdentityServicer(services.IdentityServiceServicer):
    """Users, groups, privileges and tenants."""

    def __init__(self, cases: UseCases) -> None:
        self._cases = cases

    # --- users --------------------------------------------------------------------------------------------------------

    async def CreateUser(self, request: pb.CreateUserRequest, _: RpcContext) -> user_pb2.User:
        made = await self._cases.accounts.create(caller(), mapping.new_user(request), request.request_id)
        return mapping.user(made)

    async def GetUser(self, request: pb.GetUserRequest, _: RpcContext) -> user_pb2.User:
        return mapping.user(await self._cases.accounts.get(caller(), request.user_id))

    async def ListUsers(self, request: pb.ListUsersRequest, _: RpcContext) -> pb.ListUsersResponse:
        wanted = mapping.read_filter(UserFilter, request)
        page = await self._cases.lists.users(wanted, caller().scope, mapping.read_page(request))
        return pb.ListUsersResponse(data=map(mapping.user, page.rows), **mapping.envelope(page))

    async def UpdateUser(self, request: pb.UpdateUserRequest, _: RpcContext) -> user_pb2.User:
        changed = await self._cases.accounts.update(caller(), mapping.user_change(request), request.request_id)
        return mapping.user(changed)

    async def DeleteUser(self, request: pb.DeleteUserRequest, _: RpcContext) -> pb.DeleteUserResponse:
        await self._cases.accounts.delete(caller(), request.user_id, request.request_id)
        return pb.DeleteUserResponse()

    async def EraseUser(self, request: pb.EraseUserRequest, _: RpcContext) -> pb.EraseUserResponse:
        removed = await self._cases.accounts.erase(caller(), request.user_id, request.request_id)
        return pb.EraseUserResponse(removed=removed)

    async def GetUserPicture(self, request: pb.GetUserPictureRequest, _: RpcContext) -> httpbody_pb2.HttpBody:
        picture = await self._cases.profiles.picture(caller(), request.user_id)
        return httpbody_pb2.HttpBody(content_type=picture.content_type, data=picture.data)

    async def UpdateUserPicture(
        self, request: pb.UpdateUserPictureRequest, _: RpcContext
    ) -> pb.UpdateUserPictureResponse:
        picture = await asyncio.to_thread(read_picture, request.picture)
        await self._cases.profiles.put_picture(caller(), request.user_id, picture, request.request_id)
        return pb.UpdateUserPictureResponse()

    async def ListUserInfo(self, request: pb.ListUserInfoRequest, _: RpcContext) -> AsyncIterator[user_pb2.UserInfo]:
        for each in await self._cases.profiles.infos(caller(), request.user_id):
            yield mapping.info(each)

    async def CreateUserInfo(self, request: pb.CreateUserInfoRequest, _: RpcContext) -> user_pb2.UserInfo:
        info = UserInfo(key=request.key, value=request.value)
        return mapping.info(await self._cases.profiles.add_info(caller(), request.user_id, info, request.request_id))

    async def GetUserInfo(self, request: pb.GetUserInfoRequest, _: RpcContext) -> user_pb2.UserInfo:
        return mapping.info(await self._cases.profiles.info(caller(), request.user_id, request.key))

    async def UpdateUserInfo(self, request: pb.UpdateUserInfoRequest, _: RpcContext) -> user_pb2.UserInfo:
        info = UserInfo(key=request.key, value=request.value)
        return mapping.info(await self._cases.profiles.change_info(caller(), request.user_id, info, request.request_id))

    async def DeleteUserInfo(self, request: pb.DeleteUserInfoRequest, _: RpcContext) -> pb.DeleteUserInfoResponse:
        await self._cases.profiles.drop_info(caller(), request.user_id, request.key, request.request_id)
        return pb.DeleteUserInfoResponse()

    # --- groups -------------------------------------------------------------------------------------------------------

    async def CreateGroup(self, request: pb.CreateGroupRequest, _: RpcContext) -> group_pb2.Group:
        wanted = Group(id=request.id, name=request.name, type=request.type)
        tenant_id = mapping.optional(request, "tenant_id")
        return mapping.group(await self._cases.groups.create(caller(), wanted, tenant_id, request.request_id))

    async def GetGroup(self, request: pb.GetGroupRequest, _: RpcContext) -> group_pb2.Group:
        return mapping.group(await self._cases.groups.get(caller(), request.group_id))

    async def ListGroups(self, request: pb.ListGroupsRequest, _: RpcContext) -> pb.ListGroupsResponse:
        wanted = mapping.read_filter(GroupFilter, request)
        page = await self._cases.lists.groups(wanted, caller().scope, mapping.read_page(request))
        return pb.ListGroupsResponse(data=map(mapping.group, page.rows), **mapping.envelope(page))

    async def UpdateGroup(self, request: pb.UpdateGroupRequest, _: RpcContext) -> group_pb2.Group:
        changed = await self._cases.groups.update(caller(), mapping.group_change(request), request.request_id)
        return mapping.group(changed)

    async def DeleteGroup(self, request: pb.DeleteGroupRequest, _: RpcContext) -> pb.DeleteGroupResponse:
        await self._cases.groups.delete(caller(), request.group_id, request.request_id)
        return pb.DeleteGroupResponse()

    async def CreateMembership(self, request: pb.CreateMembershipRequest, _: RpcContext) -> group_pb2.Membership:
        wanted = Membership(user_id=request.user_id, group_id=request.group_id)
        made = await self._cases.groups.add_member(caller(), wanted, request.request_id)
        return group_pb2.Membership(user_id=made.user_id, group_id=made.group_id)

    async def DeleteMembership(self, request: pb.DeleteMembershipRequest, _: RpcContext) -> pb.DeleteMembershipResponse:
        wanted = Membership(user_id=request.user_id, group_id=request.group_id)
        await self._cases.groups.drop_member(caller(), wanted, request.request_id)
        return pb.DeleteMembershipResponse()

    async def ListGroupMembers(self, request: pb.ListGroupMembersRequest, _: RpcContext) -> pb.ListGroupMembersResponse:
        page = await self._cases.groups.members(caller(), request.group_id, mapping.read_page(request))
        return pb.ListGroupMembersResponse(data=map(mapping.user, page.rows), **mapping.envelope(page))

    # --- privileges ---------------------------------------------------------------------------------------------------

    async def CreatePrivilege(self, request: pb.CreatePrivilegeRequest, _: RpcContext) -> privilege_pb2.Privilege:
        return mapping.privilege(await self._cases.privileges.create(caller(), request.name, request.request_id))

    async def GetPrivilege(self, request: pb.GetPrivilegeRequest, _: RpcContext) -> privilege_pb2.Privilege:
        return mapping.held(await self._cases.privileges.get(caller(), request.privilege_id))

    async def ListPrivileges(self, request: pb.ListPrivilegesRequest, _: RpcContext) -> pb.ListPrivilegesResponse:
        wanted = mapping.read_filter(PrivilegeFilter, request)
        page = await self._cases.lists.privileges(wanted, mapping.read_page(request))
        return pb.ListPrivilegesResponse(data=map(mapping.privilege, page.rows), **mapping.envelope(page))

    async def DeletePrivilege(self, request: pb.DeletePrivilegeRequest, _: RpcContext) -> pb.DeletePrivilegeResponse:
        await self._cases.privileges.delete(caller(), request.privilege_id, request.request_id)
        return pb.DeletePrivilegeResponse()

    async def ListPrivilegeUsers(
        self, request: pb.ListPrivilegeUsersRequest, _: RpcContext
    ) -> AsyncIterator[user_pb2.User]:
        for each in (await self._cases.privileges.get(caller(), request.privilege_id)).users:
            yield mapping.user(each)

    async def AddPrivilegeUser(self, request: pb.AddPrivilegeUserRequest, _: RpcContext) -> pb.AddPrivilegeUserResponse:
        await self._cases.privileges.give_user(caller(), request.privilege_id, request.user_id, request.request_id)
        return pb.AddPrivilegeUserResponse()

    async def RemovePrivilegeUser(
        self, request: pb.RemovePrivilegeUserRequest, _: RpcContext
    ) -> pb.RemovePrivilegeUserResponse:
        await self._cases.privileges.take_user(caller(), request.privilege_id, request.user_id, request.request_id)
        return pb.RemovePrivilegeUserResponse()

    async def ListPrivilegeGroups(
        self, request: pb.ListPrivilegeGroupsRequest, _: RpcContext
    ) -> AsyncIterator[group_pb2.Group]:
        for each in (await self._cases.privileges.get(caller(), request.privilege_id)).groups:
            yield mapping.group(each)

    async def AddPrivilegeGroup(
        self, request: pb.AddPrivilegeGroupRequest, _: RpcContext
    ) -> pb.AddPrivilegeGroupResponse:
        await self._cases.privileges.give_group(caller(), request.privilege_id, request.group_id, request.request_id)
        return pb.AddPrivilegeGroupResponse()

    async def RemovePrivilegeGroup(
        self, request: pb.RemovePrivilegeGroupRequest, _: RpcContext
    ) -> pb.RemovePrivilegeGroupResponse:
        await self._cases.privileges.take_group(caller(), request.privilege_id, request.group_id, request.request_id)
        return pb.RemovePrivilegeGroupResponse()

    # --- tenants ------------------------------------------------------------------------------------------------------

    async def CreateTenant(self, request: pb.CreateTenantRequest, _: RpcContext) -> tenant_pb2.Tenant:
        made = await self._cases.tenants.create(caller(), request.id, request.name, request.request_id)
        return mapping.tenant(made)

    async def GetTenant(self, request: pb.GetTenantRequest, _: RpcContext) -> tenant_pb2.Tenant:
        return mapping.tenant(await self._cases.tenants.get(caller(), request.tenant_id))

    async def ListTenants(self, request: pb.ListTenantsRequest, _: RpcContext) -> pb.ListTenantsResponse:
        wanted = mapping.read_filter(TenantFilter, request)
        page = await self._cases.lists.tenants(wanted, caller().scope, mapping.read_page(request))
        return pb.ListTenantsResponse(data=map(mapping.tenant, page.rows), **mapping.envelope(page))

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, _: RpcContext) -> tenant_pb2.Tenant:
        name = mapping.optional(request, "name")
        changed = await self._cases.tenants.update(caller(), request.tenant_id, name, request.request_id)
        return mapping.tenant(changed)

    async def DeleteTenant(self, request: pb.DeleteTenantRequest, _: RpcContext) -> pb.DeleteTenantResponse:
        await self._cases.tenants.delete(caller(), request.tenant_id, request.request_id)
        return pb.DeleteTenantResponse()

    async def GetIdmEngine(self, request: pb.GetIdmEngineRequest, _: RpcContext) -> pb.IdmEngine:  # noqa: ARG002
        return pb.IdmEngine(name=ENGINE_NAME, version=self._cases.version)
