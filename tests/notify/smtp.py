"""A mail server for tests: aiosmtpd in a thread of its own, which takes mail or refuses it as told."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "flowloom", "correct horse"


@dataclass
class MailServer:
    """What it took, in order, and what it answers instead."""

    host: str = "127.0.0.1"
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuse_recipient: str = ""
    refuse_data: list[str] = field(default_factory=list)
    """One answer for each coming mail, as long as there are some."""
    on_mail: Callable[[EmailMessage], None] = field(default=lambda _: None)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.refuse_data:
            return self.refuse_data.pop(0)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        self.on_mail(mail)
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append("good" if good else "bad")
        return AuthResult(success=good, handled=False)


class _Controller(Controller):
    """aiosmtpd's, on a port that the system chooses."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(**options: Any) -> Iterator[MailServer]:
    found = MailServer()
    controller = _Controller(found, hostname=found.host, port=0, **options)
    if options.get("auth_required"):
        controller.SMTP_kwargs["authenticator"] = found.authenticate
    controller.start()
    found.port = controller.port
    try:
        yield found
    finally:
        controller.stop()


@contextmanager
def secure_mail_server(certificates: "Certificates") -> Iterator[MailServer]:
    """Takes mail only after STARTTLS and a login."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with mail_server(tls_context=context, require_starttls=True, auth_required=True) as found:
        yield found


@dataclass(frozen=True)
class Certificates:
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """A certificate of 127.0.0.1 that is its own authority."""
    made = Certificates(folder / "certificate.pem", folder / "key.pem")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(made.key), "-out", str(made.certificate)], check=True, capture_output=True
    )
    return made
