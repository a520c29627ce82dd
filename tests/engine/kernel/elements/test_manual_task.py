"""Tests of manual task elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, start


class TestManualTask(ElementContract):
    content = start() + '<manualTask id="x"/>' + end() + flows("s>x>e")
