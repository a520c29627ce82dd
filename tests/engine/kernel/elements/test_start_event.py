"""Tests of start event elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, start


class TestStartEvent(ElementContract):
    content = start() + end() + flows("s>e")
