"""Repeated requests: the first answer again, and nothing done twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from forms.app.ports import Unit
from mesh.errors import InvalidArgument


def once(unit: Unit, request_id: str, kind: str, at: datetime, work: Callable[[], str], *, user_id: str = "") -> str:
    """Return what `work` answers, or what it answered to the same request before. Raises InvalidArgument.

    `kind` tells requests apart: an id that was used for something else is refused. `user_id`: whose personal data
    the answer shows.
    """
    if not request_id:
        return work()
    before = unit.answered(request_id)
    if before is not None:
        if before[0] != kind:
            raise InvalidArgument(
                "request-id-reused",
                f"expected a request_id of its own, found one that a request of kind '{before[0]}' had before",
            )
        return before[1]
    answer = work()
    unit.answer(request_id, kind, answer, at, user_id)
    return answer
