"""The topics of the mesh, by the names that consumers know."""

from __future__ import annotations

from typing import Final

HISTORY: Final = "flowable.history"
"""All events of one command on one tree in one message (`flowloom.events.v1.CommandEvents`); key: the root's id."""

PROCESS_STARTED: Final = "flowable.process.started"
PROCESS_COMPLETED: Final = "flowable.process.completed"
PROCESS_TERMINATED: Final = "flowable.process.terminated"
PROCESS_FAILED: Final = "flowable.process.failed"
TASK_CREATED: Final = "flowable.task.created"
TASK_ASSIGNED: Final = "flowable.task.assigned"
TASK_COMPLETED: Final = "flowable.task.completed"

BUSINESS: Final = (
    PROCESS_STARTED,
    PROCESS_COMPLETED,
    PROCESS_TERMINATED,
    PROCESS_FAILED,
    TASK_CREATED,
    TASK_ASSIGNED,
    TASK_COMPLETED,
)
"""What happened, one self-contained message each (`flowloom.events.v1.business`), in the order of the history."""

SAGA_PREFIX: Final = "flowable.saga."
"""Before the name under which a participant of sagas by message was registered: its own topic, with what it is asked to
do or to take back (`flowloom.events.v1.SagaStepRequested`)."""

ALL: Final = (HISTORY, *BUSINESS)

DEAD_LETTER_SUFFIX: Final = ".dlq"


def dead_letters_of(topic: str) -> str:
    """Return the topic of what consumers of this one gave up on."""
    return topic + DEAD_LETTER_SUFFIX
