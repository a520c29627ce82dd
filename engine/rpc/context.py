"""Who asks, and what binds them: the principal of the call as the engine's own values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engine.kernel.rights import Rights
from mesh.access import TENANTS_ALL, Principal, current_principal, served_principal
from mesh.access.principal import lacks
from mesh.errors import PermissionDenied

if TYPE_CHECKING:
    import grpc

    RpcContext = grpc.aio.ServicerContext[Any, Any]

HTTP_STATUS_KEY: Final = "x-http-status"
"""Says the HTTP status of a success that depends on the request; the edge takes it away."""
TASK_MANAGE: Final = "engine.task.manage"
"""The privilege to see and to do everybody's tasks."""
PROCESS_MANAGE: Final = "engine.process.manage"
"""The privilege to start what is offered to others, and to start in somebody else's name."""


def caller_of(context: RpcContext) -> str:  # noqa: ARG001 - it is the call that is being served
    """Return the caller's user id, empty if the call names nobody."""
    return current_principal().user_id


def named_user(given: str, privilege: str) -> str:
    """Return the user in whose name a request is made: the caller's, or another one's by privilege.

    Raises PermissionDenied.
    """
    who = current_principal()
    if given and given != who.user_id and not who.may(privilege):
        raise PermissionDenied(
            "in-anothers-name",
            f"expected the caller's own user id, or the privilege {privilege}, found another user's",
            privilege=privilege,
        )
    return given or who.user_id


def tenant_asked(given: str) -> str:
    """Return the tenant that a request means: the one that it names, or else the caller's own.

    Raises PermissionDenied for a foreign one.
    """
    who = current_principal()
    who.check_tenant(given)
    return given or who.tenant_id


def own_tenant(given: str) -> str:
    """Return a tenant that a request names, empty for none. Raises PermissionDenied for a foreign one."""
    if given:
        current_principal().check_tenant(given)
    return given


def require_all_tenants() -> None:
    """Raise PermissionDenied unless the caller sees the rows of all tenants."""
    who = current_principal()
    if who.visible_tenant is not None:
        raise lacks(TENANTS_ALL)


class CallersRights:
    """What binds whoever is being served."""

    def __init__(self, *, tasks_restricted: bool) -> None:
        """`tasks_restricted`: people see and do their own tasks only, unless they have `engine.task.manage`."""
        self._tasks_restricted = tasks_restricted

    def __call__(self) -> Rights | None:
        """Return the caller's rights; None if nothing binds them, or the engine does work of its own."""
        who = served_principal()
        return None if who is None else self.of(who)

    def of(self, who: Principal) -> Rights | None:
        """Return somebody's rights; None if nothing binds them."""
        tenant_id = who.visible_tenant
        own_tasks = self._tasks_restricted and not who.may(TASK_MANAGE)
        offered_starts = not who.may(PROCESS_MANAGE)
        if tenant_id is None and not own_tasks and not offered_starts:
            return None
        return Rights(
            user_id=who.user_id,
            groups=who.groups,
            tenant_id=tenant_id,
            own_tasks=own_tasks,
            offered_starts=offered_starts,
        )
