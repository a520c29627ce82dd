"""Transaction: a sub-process that can be cancelled as a whole (BPMN 2.0, 10.3.2); see the cancel event definition."""

from dataclasses import replace
from typing import Final

from engine.kernel.elements import sub_process

KIND: Final = replace(sub_process.KIND, tag="transaction", type="transaction")
