"""Tests of external worker task elements."""

from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start


class TestExternalWorkerTask(WaitingContract):
    content = (
        start() + '<serviceTask id="x" flowable:type="external-worker" flowable:topic="t"/>' + end() + flows("s>x>e")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        root_id, job = engine.worker("t")
        engine.run(root_id, cmd.CompleteJob(job_id=job.id, worker_id="worker"))
        engine.run_jobs()
