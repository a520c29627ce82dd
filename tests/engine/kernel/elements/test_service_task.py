"""Tests of service task elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, service, start


class TestServiceTask(ElementContract):
    content = start() + service("x") + end() + flows("s>x>e")
