"""A small external worker: it gets the jobs of one topic pushed over gRPC, does them, and reports back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc
from flowloom.engine.v1 import external_worker_service_pb2 as pb
from flowloom.engine.v1.external_worker_service_pb2_grpc import ExternalWorkerServiceStub
from flowloom.engine.v1.job_pb2 import ExternalWorkerJob
from flowloom.engine.v1.variable_pb2 import Variable
from google.protobuf.json_format import MessageToDict, ParseDict

TOPIC: Final = "book-absence"
WORKER: Final = "demo-worker"


async def book_absences(target: str, token: str, say: Callable[[str], None]) -> None:
    """Serve the topic until cancelled. `target` is host:port of the edge, where gRPC is too; `token` an API token."""
    credentials = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(target) as channel:
        service = ExternalWorkerServiceStub(channel)
        request = pb.StreamJobsRequest(topic=TOPIC, worker_id=WORKER, lock_duration="PT1M", max_in_flight=4)
        async for pushed in service.StreamJobs(request, metadata=credentials):
            for job in pushed.jobs:
                booking = book(job)
                await service.CompleteJob(
                    pb.CompleteJobRequest(
                        job_id=job.id,
                        worker_id=WORKER,
                        lock_token=job.lock_token,
                        variables=[ParseDict({"name": "booking", "value": booking}, Variable())],
                        # The job's own id, so that a report that is sent twice counts once.
                        request_id=f"{WORKER}-{job.id}",
                    ),
                    metadata=credentials,
                )
                say(f"  worker (gRPC, topic {TOPIC}): completed the job of {job.element_id}: {booking}")


def book(job: ExternalWorkerJob) -> str:
    """Do the work: in earnest this would be a call to the calendar."""
    given: dict[str, Any] = {each["name"]: each.get("value") for each in map(MessageToDict, job.variables)}
    return f"{given['employee']} is booked as absent for {given['days']:.0f} days"
