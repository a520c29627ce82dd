"""What the kernel refuses, as a service answers it."""

from __future__ import annotations

import pytest

from engine.kernel import errors as kernel
from engine.rpc.errors import KINDS, domain_error

STATUSES = [value for name, value in vars(kernel).items() if name.isupper() and isinstance(value, str)]


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_of_the_kernel_has_its_answer(status: str) -> None:
    assert KINDS[status].status.value == status


def test_reason_message_and_facts_are_kept() -> None:
    refused = kernel.failed("task-delegated", "expected this, found that", task_id="t1")

    answered = domain_error(refused)

    assert (answered.reason, str(answered)) == ("task-delegated", "expected this, found that")
    assert dict(answered.facts) == {"task_id": "t1"}
