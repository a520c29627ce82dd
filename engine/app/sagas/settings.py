"""How sagas are carried out."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaSettings:
    """Bounds and pauses of sagas."""

    completion: bool = setting(True, doc="Whether the end of an instance is a saga; false: nobody can take part in it.")
    in_flight: int = setting(512, doc="Sagas that one process has under its hands at once.", minimum=1)
    batch: int = setting(256, doc="Sagas whose steps one transaction writes.", minimum=1, maximum=1000)
    lease_seconds: float = setting(30.0, doc="How long a dead process keeps its sagas from the others.", minimum=1)
    look_seconds: float = setting(2.0, doc="How often due sagas of other processes are looked for.", minimum=0.01)
    retry_seconds: float = setting(2.0, doc="The pause before a step's second try; doubles with each.", minimum=0)
    max_retry_seconds: float = setting(3600.0, doc="The longest pause between two tries of a step.", minimum=0)
    wait_seconds: float = setting(10.0, doc="How long a caller waits for the rest of its saga.", minimum=0)
    grace_seconds: float = setting(5.0, doc="How long steps under way may take when the process ends.", minimum=0)
    fresh_seconds: float = setting(1.0, doc="How long another process's registration may go unnoticed.", minimum=0.01)
    retention_seconds: float = setting(
        86_400.0, doc="How long sagas that came to a good end, or were closed, are kept.", minimum=1
    )
    prune_look_seconds: float = setting(60.0, doc="How often old sagas are taken away.", minimum=0.01)
