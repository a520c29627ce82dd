"""Tests of http task elements."""

from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start


class TestHttpTask(WaitingContract):
    content = (
        start()
        + '<serviceTask id="x" flowable:type="http"><extensionElements><flowable:field name="requestUrl" stringValue="https://example.org"/></extensionElements></serviceTask>'
        + end()
        + flows("s>x>e")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        root_id, job = engine.http_job()
        engine.run(root_id, cmd.CompleteJob(job_id=job.id))
