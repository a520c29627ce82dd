"""The demonstration as a whole, on a real mesh behind Envoy."""

from __future__ import annotations

import pytest

from host.demo.leave_approval import ENDED, run_demo


@pytest.mark.envoy
def test_the_demo_tells_its_story_to_the_end() -> None:
    printed: list[str] = []

    passed = run_demo(printed.append)

    text = "\n".join(printed)
    assert passed, text
    assert "curl -X POST" in text
    assert "401" not in text
    assert "Subject: New task: Decide on the leave of Kermit" in text
    assert "form_leave-decision_outcome = grant" in text
    assert '"stepId": "payroll", "state": "COMPLETED"' in text
    assert "worker (gRPC, topic book-absence): completed the job" in text
    assert [element for element in ENDED if f"      {element}" not in text] == []
