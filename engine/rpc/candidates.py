"""Lists of what a user could have: their groups belong to them, as in Flowable."""

from __future__ import annotations

import msgspec

from engine.app.asking import UserGroups
from engine.app.queries import ProcessDefinitionFilter, TaskFilter
from mesh.access import current_principal


async def with_groups(wanted: TaskFilter, groups: UserGroups) -> TaskFilter:
    """Return the filter with the groups of the user whose tasks are asked for. Raises Unavailable."""
    user_id = wanted.candidate_user or wanted.candidate_or_assigned
    if not user_id:
        return wanted
    return msgspec.structs.replace(wanted, user_groups=await _groups_of(user_id, groups))


async def with_starter_groups(wanted: ProcessDefinitionFilter, groups: UserGroups) -> ProcessDefinitionFilter:
    """Return the filter with the groups of the user who could start. Raises Unavailable."""
    if not wanted.startable_by_user:
        return wanted
    return msgspec.structs.replace(wanted, startable_by_groups=await _groups_of(wanted.startable_by_user, groups))


async def _groups_of(user_id: str, groups: UserGroups) -> tuple[str, ...]:
    who = current_principal()
    return who.groups if user_id == who.user_id and who.groups else await groups.groups_of(user_id)
