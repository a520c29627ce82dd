"""Tests of send task elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, messages, start


class TestSendTask(ElementContract):
    content = start() + '<sendTask id="x" messageRef="message-m"/>' + end() + flows("s>x>e")
    root = messages("m")
