"""Faults: all of them are gathered before anything is refused, so that nobody has to correct one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.errors import FieldViolation, InvalidArgument

MAX_TOLD: Final = 100
"""Faults that one refusal tells at most; the message says how many there are."""
_SPOKEN: Final = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place: `place` is its path as in the contract, such as `fields.amount`."""

    place: str
    description: str


def refuse(reason: str, what: str, faults: Sequence[Fault]) -> InvalidArgument:
    """Return the refusal that tells the faults: each as a violation, and the first of them in the message too.

    The message is all that REST shows, so it names the places.
    """
    told = faults[:MAX_TOLD]
    spoken = "; ".join(f"{fault.place}: {fault.description}" for fault in told[:_SPOKEN])
    more = f"; and {len(faults) - _SPOKEN} more" if len(faults) > _SPOKEN else ""
    counted = f"{len(faults)} fault" + ("s" if len(faults) > 1 else "")
    return InvalidArgument(
        reason,
        f"{what}: found {counted}: {spoken}{more}",
        violations=[FieldViolation(fault.place, fault.description) for fault in told],
        faults=len(faults),
    )
