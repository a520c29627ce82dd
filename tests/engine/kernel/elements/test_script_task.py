"""Tests of script task elements."""

from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.models import end, flows, start


class TestScriptTask(ElementContract):
    content = (
        start()
        + '<scriptTask id="x" scriptFormat="javascript"><script>var a = 1;</script></scriptTask>'
        + end()
        + flows("s>x>e")
    )
