"""Mail: over an SMTP server, or into a Maildir on this machine. Plain text, and HTML beside it where there is some.

smtplib blocks, so each mail is sent in a thread of a bounded number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final

from notify.app.ports import Channel, Outgoing, SendFailed
from notify.settings import MailSettings, Security

_ADDRESS: Final = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_SPACE: Final = re.compile(r"\s+")
_PERMANENT: Final = 500
# The last one is what readers look for: when it is there, the others are.
_MAILDIR: Final = ("cur", "tmp", "new")


def check_address(address: str) -> None:
    """Raise ValueError for what is no e-mail address that a server would take."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"expected an e-mail address, found '{address}'")


def compose(message: Outgoing, sender: str) -> EmailMessage:
    """The mail of a message; the same bytes for the same texts. Raises SendFailed for what cannot be a mail."""
    mail = EmailMessage(policy=SMTP_POLICY)
    name, address = parseaddr(sender)
    try:
        mail["From"] = Address(display_name=name, addr_spec=address)
        mail["To"] = Address(addr_spec=message.address)
        # A header is one line; whoever wrote a longer subject did not mean to add headers.
        mail["Subject"] = _SPACE.sub(" ", message.texts.subject).strip()
        mail["Message-ID"] = message.message_id
        mail["Date"] = format_datetime(message.created_at)
        # RFC 3834: nobody's out-of-office should answer.
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Flowloom-Event"] = message.event
        mail.set_content(message.texts.text)
        if message.texts.html:
            mail.add_alternative(message.texts.html, subtype="html")
    except (ValueError, IndexError, UnicodeError) as error:
        raise SendFailed(f"expected what a mail can hold, found: {error}", permanent=True) from error
    return mail


class SmtpMail:
    """A `Channel`. A refusal for good (5xx) of recipient or content is permanent, everything else is tried again."""

    needs_address = True

    def __init__(self, settings: MailSettings, timeout_seconds: float) -> None:
        """`timeout_seconds` bounds each exchange with the server."""
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(max_workers=settings.connections, thread_name_prefix="notify-mail")

    def check_address(self, address: str) -> None:
        """Raise ValueError for what is no e-mail address."""
        check_address(address)

    async def send(self, message: Outgoing) -> None:
        """Return once the server has taken it. Raises SendFailed."""
        mail = compose(message, self._settings.sender)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._deliver, mail, message.address)

    async def close(self) -> None:
        """Let mails under way end."""
        await asyncio.to_thread(self._threads.shutdown)

    def _deliver(self, mail: EmailMessage, recipient: str) -> None:
        try:
            server = self._connect()
        except (smtplib.SMTPException, OSError, ssl.SSLError) as error:
            # Also a refused login: the settings are wrong, not the message.
            raise SendFailed(
                f"expected mail server {self._settings.host} to let us in, found: {_said(error)}"
            ) from error
        try:
            server.send_message(mail, to_addrs=[recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            text = f"the mail server refused {recipient}: {code} {_text(said)}"
            raise SendFailed(text, permanent=code >= _PERMANENT) from error
        except smtplib.SMTPSenderRefused as error:
            # Who mail comes from is a setting too.
            text = f"the mail server refused sender {error.sender}: {error.smtp_code} {_text(error.smtp_error)}"
            raise SendFailed(text) from error
        except smtplib.SMTPResponseException as error:
            text = f"the mail server refused the mail: {error.smtp_code} {_text(error.smtp_error)}"
            raise SendFailed(text, permanent=error.smtp_code >= _PERMANENT) from error
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            raise SendFailed(f"expected the mail server to take the mail, found: {_said(error)}") from error
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        trusted = ssl.create_default_context(cafile=settings.certificates or None)
        if settings.security is Security.TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=self._timeout_seconds, context=trusted
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=self._timeout_seconds)
        try:
            if settings.security is Security.STARTTLS:
                server.starttls(context=trusted)
            if settings.user:
                server.login(settings.user, settings.password)
        except BaseException:
            server.close()
            raise
        return server


class MailFolder:
    """A `Channel` that puts mail into a Maildir, where any mail program and `mailbox.Maildir` find it.

    A mail sent twice replaces itself: its file is named by its key.
    """

    needs_address = True

    def __init__(self, folder: Path, sender: str) -> None:
        """The folder is made when the first mail comes."""
        self._folder = folder
        self._sender = sender

    def check_address(self, address: str) -> None:
        """Raise ValueError for what is no e-mail address."""
        check_address(address)

    async def send(self, message: Outgoing) -> None:
        """Return once it is on the disk. Raises SendFailed."""
        mail = compose(message, self._sender)
        try:
            await asyncio.to_thread(self._write, message.key, mail.as_bytes())
        except OSError as error:
            raise SendFailed(f"expected to write into {self._folder}, found: {error}") from error

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, key: str, content: bytes) -> None:
        for name in _MAILDIR:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        # As Maildir wants it: whole in tmp, then moved, so that nobody reads half a mail.
        place = self._folder / "tmp" / f"{key}.eml"
        with place.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place.rename(self._folder / "new" / place.name)


def open_mail(settings: MailSettings, timeout_seconds: float) -> Channel:
    """The channel of the settings. Raises ValueError for a sender that is no address."""
    sender = parseaddr(settings.sender)[1]
    if "@" not in sender:
        raise ValueError(f"expected mail_sender to hold an e-mail address, found '{settings.sender}'")
    if settings.host:
        return SmtpMail(settings, timeout_seconds)
    return MailFolder(Path(settings.folder), settings.sender)


def _text(said: object) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"
