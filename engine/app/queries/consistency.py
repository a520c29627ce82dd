"""What `flowloom check` finds: rows that do not fit together."""

from collections.abc import Sequence
from typing import Final

import msgspec

DEFAULT_MAX_FINDINGS: Final = 100
MAX_FINDINGS: Final = 10_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that does not fit. `rule` is kebab-case and stable; `subject_id` names the row or the execution."""

    rule: str
    message: str
    process_instance_id: str = ""
    subject_id: str = ""


class ConsistencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `complete` is False if it stopped at its greatest number of findings."""

    instances_checked: int
    findings: Sequence[Finding]
    complete: bool

    @property
    def consistent(self) -> bool:
        """Tell whether everything was looked at and nothing was found."""
        return self.complete and not self.findings
