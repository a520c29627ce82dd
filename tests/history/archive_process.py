"""Archives in a process of its own, which dies where it is told to.

python -m tests.history.archive_process URL PATH WHERE
"""

import asyncio
import os
import sys

from history.app.archiving import ArchiveFiles, Trees
from history.effects.parquet import ParquetFiles
from history.model.archive import WrittenFile
from history.service import HistoryService
from history.settings import ArchiveSettings, HistoryDatabase, HistorySettings
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.memory import MemoryOffsets, MemoryOutbox

FILE, BEFORE, SENT, AFTER = PLACES = ("file-written", "before-commit", "commit-sent", "after-commit")


class Trap:
    """Ends the process, as a power cut would, at one place of the transaction that moves."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.armed = False

    def before_statement(self, number: int, text: str) -> None:
        if self.armed and self.place == BEFORE and text == "COMMIT":
            os._exit(9)

    def after_statement(self, number: int, text: str) -> None:
        if self.armed and self.place == AFTER and text == "COMMIT":
            os._exit(9)

    def commit_sent(self, number: int) -> None:
        if self.armed and self.place == SENT:
            os._exit(9)


class TrappedFiles(ParquetFiles):
    def __init__(self, settings: ArchiveSettings, trap: Trap) -> None:
        super().__init__(settings)
        self._trap = trap

    async def write(self, name: str, trees: Trees) -> WrittenFile:
        written = await super().write(name, trees)
        if self._trap.place == FILE:
            os._exit(9)
        self._trap.armed = True
        return written


async def main(url: str, path: str, place: str) -> None:
    outbox, offsets = MemoryOutbox(), MemoryOffsets()
    archive = ArchiveSettings(url=path)
    settings = HistorySettings(database=HistoryDatabase(url=url), archive=archive)
    service = HistoryService(settings, EmbeddedBus("flowable.history", outbox, offsets.for_process()))
    trap = Trap(place)
    files: ArchiveFiles = TrappedFiles(archive, trap)
    service.archive._files = files
    service._database.hook = trap
    await service.archive.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
