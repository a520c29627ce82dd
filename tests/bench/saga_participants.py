"""`python -m tests.bench.saga_participants FOLDER`: two participants whose effects are rows behind a barrier.

As a business system would that has many sagas at once: steps that wait share a transaction of its database, each with
its barrier.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
from flowloom.saga.v1 import saga_participant_service_pb2 as pb
from flowloom.saga.v1.saga_participant_service_pb2_grpc import (
    SagaParticipantServiceServicer,
    add_SagaParticipantServiceServicer_to_server,
)
from sqlalchemy import Engine, insert

from mesh.clock import SystemClock
from mesh.saga_barrier import EXECUTE, SagaBarrier
from tests.engine.sagas.world import BARRIER, EFFECTS, own_database

AT_ONCE = 256


class Grouping(SagaParticipantServiceServicer):
    """Does steps in groups."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._barrier = SagaBarrier(BARRIER)
        self._clock = SystemClock()
        self._waiting: list[tuple[pb.ExecuteRequest, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def Execute(self, request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        await future
        return pb.ExecuteResponse()

    async def Compensate(self, request: pb.CompensateRequest, context: Any) -> pb.CompensateResponse:
        raise AssertionError("nothing fails here")

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            await asyncio.to_thread(self._act, [request for request, _ in batch])
            for _, future in batch:
                future.set_result(None)

    def _act(self, requests: list[pb.ExecuteRequest]) -> None:
        now = self._clock.now()
        with self._database.begin() as connection:
            for request in requests:
                passage = self._barrier.enter(
                    connection, saga_id=request.saga_id, step_id=request.step_id, action=EXECUTE, now=now
                )
                if passage.must_act:
                    connection.execute(
                        insert(EFFECTS).values(
                            participant=request.step_name,
                            saga_id=request.saga_id,
                            step_id=request.step_id,
                            action=EXECUTE,
                        )
                    )


async def main(folder: Path) -> None:
    server = grpc.aio.server()
    add_SagaParticipantServiceServicer_to_server(Grouping(own_database(folder / "effects.db")), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    part = folder / "address.part"
    part.write_text(f"127.0.0.1:{port}")
    part.rename(folder / "address")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
