"""Tests of intermediate throw event elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, start, throw


class TestIntermediateThrowEvent(ElementContract):
    content = start() + throw("x") + end() + flows("s>x>e")
