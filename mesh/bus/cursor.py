"""Which sequences of an outbox a group has read, and which it read past: a pure value that changes.

The spans that were read past are gaps: a transaction that is still under way may fill them, or one that was rolled back
never will. They hold nothing up; they are asked for again until they are filled or known to stay empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.bus.ports import Span


@dataclass(frozen=True, slots=True)
class Gap:
    """A span that was read past; `since` is when, on the monotonic clock."""

    span: Span
    since: float


class Cursor:
    """Where a group stands in an outbox."""

    def __init__(self, after_sequence: int, *, gaps_can_fill: bool) -> None:
        """Everything up to `after_sequence` counts as read. Without `gaps_can_fill`, gaps are not noted."""
        self.seen = after_sequence
        self.gaps: list[Gap] = []
        self._gaps_can_fill = gaps_can_fill

    @property
    def safe(self) -> int:
        """The highest sequence below which there is no gap."""
        return self.gaps[0].span[0] - 1 if self.gaps else self.seen

    @property
    def spans(self) -> list[Span]:
        """The gaps, lowest first."""
        return [gap.span for gap in self.gaps]

    def read(self, sequences: Sequence[int], now: float) -> None:
        """Take note of sequences beyond `seen`, ascending."""
        for sequence in sequences:
            if sequence > self.seen + 1 and self._gaps_can_fill:
                self.gaps.append(Gap((self.seen + 1, sequence - 1), now))
            self.seen = sequence

    def filled(self, sequences: Sequence[int]) -> None:
        """Take note of sequences that appeared in gaps."""
        late = set(sequences)
        if not late:
            return
        kept: list[Gap] = []
        for gap in self.gaps:
            first, last = gap.span
            for sequence in sorted(found for found in late if first <= found <= last):
                if sequence > first:
                    kept.append(Gap((first, sequence - 1), gap.since))
                first = sequence + 1
            if first <= last:
                kept.append(Gap((first, last), gap.since))
        self.gaps = kept

    def oldest(self) -> float | None:
        """Since when the oldest gap is known; None without gaps."""
        return min((gap.since for gap in self.gaps), default=None)

    def drop(self, spans: Sequence[Span]) -> None:
        """Forget what is left of these spans: it stays empty. A gap lies within a span or outside of all of them."""
        self.gaps = [gap for gap in self.gaps if not any(a <= gap.span[0] and gap.span[1] <= b for a, b in spans)]
