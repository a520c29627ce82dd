"""A notify in a process of its own, to be killed: `python -m tests.notify.sending_process URL SMTP_PORT LEASE`."""

import asyncio
import sys

from mesh.bus.embedded import EmbeddedBus
from mesh.bus.memory import MemoryOffsets, MemoryOutbox
from notify.service import NotifyService, NotifySettings
from notify.settings import TOPIC, MailSettings, NotifyDatabase, Security, SendingSettings


async def main(url: str, port: str, lease_seconds: str) -> None:
    settings = NotifySettings(
        database=NotifyDatabase(url=url),
        mail=MailSettings(host="127.0.0.1", port=int(port), security=Security.NONE, domain="flowloom.test"),
        sending=SendingSettings(
            poll_seconds=0.05,
            concurrency=1,
            lease_seconds=float(lease_seconds),
            send_seconds=float(lease_seconds) / 2,
            tries=100,
        ),
    )
    bus = EmbeddedBus(TOPIC, MemoryOutbox(), MemoryOffsets().for_process())
    notify = NotifyService(settings, bus)
    await notify.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
