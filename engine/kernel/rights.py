"""What whoever asks may see and do with the rows of the engine: their tenant, their tasks, what they may start.

Values and rules only. Who asks, and which rules bind them, is decided before a command is made; the rules are checked
where the rows are: in the transaction of the command, and in the statement of the query.
"""

from collections.abc import Iterable

import msgspec

from engine.kernel.errors import PERMISSION_DENIED, Refused
from engine.kernel.state import Task

CANDIDATE = "candidate"

Link = tuple[str, str, str, str]
"""An identity link: its id, its kind, and its user or its group."""


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks, as far as rows are concerned. None in place of this value: the engine itself, bound by nothing.

    `tenant_id`: the one tenant whose rows they see, empty for rows without tenant; None: those of all. `own_tasks`:
    they see and do only tasks that are theirs. `offered_starts`: they start only what is offered to them or to all.
    """

    user_id: str = ""
    groups: tuple[str, ...] = ()
    tenant_id: str | None = None
    own_tasks: bool = False
    offered_starts: bool = False

    def sees(self, tenant_id: str) -> bool:
        """Tell whether rows of a tenant are seen."""
        return self.tenant_id is None or self.tenant_id == tenant_id

    def works_on(self, task: Task) -> bool:
        """Tell whether a task is theirs to complete and to change: its assignee's and its owner's."""
        return not self.own_tasks or (bool(self.user_id) and self.user_id in (task.assignee, task.owner))

    def may_claim(self, task: Task, links: Iterable[Link]) -> bool:
        """Tell whether a task is theirs to see and to claim: also the candidates', and everybody's if it has none."""
        if self.works_on(task):
            return True
        candidates = [(user, group) for _, kind, user, group in links if kind == CANDIDATE]
        if not candidates:
            return not task.assignee
        return any((user and user == self.user_id) or (group and group in self.groups) for user, group in candidates)

    def may_start(self, starters: Iterable[tuple[str, str]]) -> bool:
        """Tell whether a definition with these candidate starters, users or groups, is offered to them."""
        found = list(starters)
        if not self.offered_starts or not found:
            return True
        return any((user and user == self.user_id) or (group and group in self.groups) for user, group in found)


def not_yours(task_id: str) -> Refused:
    """The refusal of what only a task's assignee and owner may do, to somebody who sees it."""
    return Refused(
        PERMISSION_DENIED,
        "task-of-others",
        f"expected task {task_id} to be the caller's (as assignee or owner), found it is not",
        task_id=task_id,
    )


def not_offered(definition_id: str) -> Refused:
    """The refusal of a start by somebody who is none of the candidate starters."""
    return Refused(
        PERMISSION_DENIED,
        "not-a-starter",
        f"expected the caller among the candidate starters of {definition_id}, found them not there",
        process_definition_id=definition_id,
    )
