# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.notify.v1.PreferenceService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.notify.v1 import preference_service_pb2 as pb
from flowloom.notify.v1 import preference_service_pb2_grpc as services
from flowloom.notify.v1 import preferences_pb2

from mesh.access import current_principal
from mesh.errors import InvalidArgument
from notify.app.preferences import UserPreferences
from notify.rpc import mapping

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class PreferenceServicer(services.PreferenceServiceServicer):
    """What users want to be told."""

    def __init__(self, preferences: UserPreferences) -> None:
        self._preferences = preferences

    async def GetOwnPreferences(self, _: pb.GetOwnPreferencesRequest, __: RpcContext) -> preferences_pb2.Preferences:
        return mapping.preferences(await self._preferences.get(_caller()))

    async def UpdateOwnPreferences(
        self, request: pb.UpdateOwnPreferencesRequest, _: RpcContext
    ) -> preferences_pb2.Preferences:
        wanted = mapping.read_preferences(request.preferences, _caller())
        return mapping.preferences(await self._preferences.put(wanted, mapping.request_id(request.request_id)))

    async def GetPreferences(self, request: pb.GetPreferencesRequest, _: RpcContext) -> preferences_pb2.Preferences:
        await self._preferences.check_visible(request.user_id, current_principal().visible_tenant)
        return mapping.preferences(await self._preferences.get(request.user_id))

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, _: RpcContext
    ) -> preferences_pb2.Preferences:
        await self._preferences.check_visible(request.user_id, current_principal().visible_tenant)
        wanted = mapping.read_preferences(request.preferences, request.user_id)
        return mapping.preferences(await self._preferences.put(wanted, mapping.request_id(request.request_id)))

    async def DeletePreferences(
        self, request: pb.DeletePreferencesRequest, _: RpcContext
    ) -> pb.DeletePreferencesResponse:
        await self._preferences.check_visible(request.user_id, current_principal().visible_tenant)
        await self._preferences.delete(request.user_id, mapping.request_id(request.request_id))
        return pb.DeletePreferencesResponse()


def _caller() -> str:
    user_id = current_principal().user_id
    if not user_id:
        raise InvalidArgument("nobody-calls", "expected a caller who is a user, found none")
    return user_id
