"""The demonstration finds a mail in a Maildir, and says so where there is none."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from host.demo import mailbox as demo
from host.demo.rest import DemoFailed


def put(folder: Path, to: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "flowloom@localhost", to, "New task"
    message.set_content(text)
    mailbox.Maildir(folder).add(message)


async def test_the_head_and_the_beginning_of_the_text_are_shown(tmp_path: Path) -> None:
    put(tmp_path / "mail", "other@example.org", "not this one")
    put(tmp_path / "mail", "maria@example.org", "\n".join(f"line {n}" for n in range(20)))
    printed: list[str] = []

    await demo.show_mail_to("maria@example.org", tmp_path / "mail", printed.append)

    assert printed[:3] == [
        "      From: flowloom@localhost",
        "      To: maria@example.org",
        "      Subject: New task",
    ]
    assert printed[3:] == [f"      | line {n}" for n in range(demo.SHOWN_LINES)]


@pytest.mark.parametrize("made_so_far", [(), ("mail",), ("mail", "mail/cur", "mail/tmp")])
async def test_a_mail_that_does_not_come_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_so_far: tuple[str, ...]
) -> None:
    monkeypatch.setattr(demo, "WAIT_SECONDS", 0.01)
    for folder in made_so_far:
        (tmp_path / folder).mkdir()

    with pytest.raises(DemoFailed, match="a mail to maria"):
        await demo.show_mail_to("maria@example.org", tmp_path / "mail", lambda _: None)
