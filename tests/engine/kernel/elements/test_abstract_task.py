"""Tests of abstract task elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, start


class TestAbstractTask(ElementContract):
    content = start() + '<task id="x"/>' + end() + flows("s>x>e")
