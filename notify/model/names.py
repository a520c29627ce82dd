"""The words of notify: events, channels, states; and keys made of them."""

from __future__ import annotations

import hashlib
from typing import Final

TASK_CREATED: Final = "task-created"
"""Somebody may claim a new task."""
TASK_ASSIGNED: Final = "task-assigned"
TASK_DUE_SOON: Final = "task-due-soon"
TASK_OVERDUE: Final = "task-overdue"
PROCESS_COMPLETED: Final = "process-completed"
PROCESS_FAILED: Final = "process-failed"
INCIDENT: Final = "incident"
MESSAGE: Final = "message"
"""A text of its own, sent by RPC."""
DIGEST: Final = "digest"
"""Several in one."""

EVENTS: Final = (
    TASK_CREATED,
    TASK_ASSIGNED,
    TASK_DUE_SOON,
    TASK_OVERDUE,
    PROCESS_COMPLETED,
    PROCESS_FAILED,
    INCIDENT,
    MESSAGE,
    DIGEST,
)
DUE_EVENTS: Final = frozenset((TASK_DUE_SOON, TASK_OVERDUE))

MAIL: Final = "mail"
SMS: Final = "sms"
PUSH: Final = "push"
DINGTALK: Final = "dingtalk"
SLACK: Final = "slack"
WEBHOOK: Final = "webhook"

CHANNELS: Final = (MAIL, SMS, PUSH, DINGTALK, SLACK, WEBHOOK)

PENDING: Final = "pending"
SENT: Final = "sent"
FAILED: Final = "failed"
"""The last attempt failed; there will be another one."""
DEAD: Final = "dead"
SUPPRESSED: Final = "suppressed"
CANCELLED: Final = "cancelled"

STATES: Final = (PENDING, SENT, FAILED, DEAD, SUPPRESSED, CANCELLED)
WAITING: Final = frozenset((PENDING, FAILED))


def key_of(*parts: str) -> str:
    """A key for what these texts name together: 32 hexadecimal digits."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
