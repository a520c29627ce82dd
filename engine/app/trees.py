"""Finding the instances of a tree of calls."""

from __future__ import annotations

from typing import Final

from engine.app.queries import Page, ProcessInstanceFilter, RuntimeQueries

MAX_INSTANCES: Final = 1000
"""Instances that one message or signal looks at."""


async def instances_below(queries: RuntimeQueries, instance_id: str) -> list[str]:
    """Return the ids of a running instance and of those that it called, at all levels, itself first.

    Empty if it does not run; at most `MAX_INSTANCES`.
    """
    wanted = ProcessInstanceFilter(root_process_instance_id=instance_id)
    found = [row.id for row in (await queries.list_process_instances(wanted, Page(size=MAX_INSTANCES))).rows]
    return sorted(found, key=lambda found_id: (found_id != instance_id, found_id))
