"""The mail that a mesh without a mail server puts into a folder (a Maildir): what the demonstration shows of it."""

from __future__ import annotations

import asyncio
import mailbox
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Final

from host.demo.rest import DemoFailed

WAIT_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
SHOWN_LINES: Final = 6


async def show_mail_to(address: str, folder: Path, say: Callable[[str], None]) -> EmailMessage:
    """Wait for a mail to somebody and show its head and the beginning of its text. Raises DemoFailed without one."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while (found := _mail_to(address, folder)) is None:
        if time.monotonic() > give_up_at:
            raise DemoFailed(f"a mail to {address} within {WAIT_SECONDS:.0f} s", f"none in {folder}")
        # A folder tells nobody of a new file.
        await asyncio.sleep(POLL_SECONDS)
    for name in ("From", "To", "Subject"):
        say(f"      {name}: {found[name]}")
    body = found.get_body(preferencelist=("plain",))
    text = body.get_content() if body is not None else ""
    for line in text.strip().splitlines()[:SHOWN_LINES]:
        say(f"      | {line}")
    return found


def _mail_to(address: str, folder: Path) -> EmailMessage | None:
    # Whoever makes a Maildir makes this folder last.
    if not (folder / "new").is_dir():
        return None
    box = mailbox.Maildir(folder, create=False)
    for key in box.iterkeys():
        message = BytesParser(policy=default).parsebytes(box.get_bytes(key))
        if isinstance(message, EmailMessage) and message["To"] == address:
            return message
    return None
