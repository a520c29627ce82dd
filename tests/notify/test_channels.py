"""The channels, each against a real server on loopback that plays the other side."""

import asyncio
import hashlib
import hmac
import json
import mailbox
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from mesh.clock import ManualClock
from notify.app.ports import Channel, Outgoing, SendFailed, Texts
from notify.effects.mail import MailFolder, SmtpMail, open_mail
from notify.effects.web_services import WebService, open_services
from notify.effects.webhook import Webhooks
from notify.settings import MailSettings, Security, ServiceSettings, WebhookSettings
from tests.engine.kernel.harness import BEGINNING
from tests.notify.receivers import Receiver, receiver
from tests.notify.smtp import (
    PASSWORD,
    USER,
    Certificates,
    MailServer,
    make_certificates,
    secure_mail_server,
)

SECONDS = 20.0
TEXTS = Texts(subject="Assigned to you: Prüfung", text="Grüße\n", html="<p>Grüße</p>")


def outgoing(address: str, **fields: Any) -> Outgoing:
    values: dict[str, Any] = {
        "message_id": "<0123.1@flowloom.test>",
        "key": "0123.1",
        "event": "task-assigned",
        "recipient": "kermit",
        "address": address,
        "texts": TEXTS,
        "created_at": BEGINNING,
        "facts": {"task": {"id": "t-1", "name": "Prüfung"}},
    }
    return Outgoing(**values | fields)


async def refused(channel: Channel, message: Outgoing) -> SendFailed:
    with pytest.raises(SendFailed) as found:
        await channel.send(message)
    return found.value


# --- mail ---


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def smtp(mail: MailServer, **fields: Any) -> SmtpMail:
    settings = MailSettings(host=mail.host, port=mail.port, security=Security.NONE)
    return SmtpMail(replace(settings, **fields), SECONDS)


async def test_mail_goes_over_starttls_after_a_login(certificates: Certificates) -> None:
    with secure_mail_server(certificates) as mail:
        channel = smtp(
            mail,
            security=Security.STARTTLS,
            user=USER,
            password=PASSWORD,
            certificates=str(certificates.certificate),
        )

        await channel.send(outgoing("kermit@muppets.example"))
        await channel.close()

        assert (mail.encrypted, mail.logins) == ([True], ["good"])
        assert mail.subjects() == ["Assigned to you: Prüfung"]
        assert "<p>Grüße</p>" in mail.mails[0].get_body(("html",)).get_content()  # type: ignore[union-attr]


async def test_a_server_with_a_certificate_that_nobody_vouches_for_gets_no_password(certificates: Certificates) -> None:
    with secure_mail_server(certificates) as mail:
        channel = smtp(mail, security=Security.STARTTLS, user=USER, password=PASSWORD)

        failed = await refused(channel, outgoing("kermit@muppets.example"))
        await channel.close()

        assert (failed.permanent, mail.logins, mail.mails) == (False, [], [])
        assert "certificate" in str(failed)


async def test_a_refused_login_is_tried_again_for_it_is_not_the_messages_fault(certificates: Certificates) -> None:
    with secure_mail_server(certificates) as mail:
        trusted = {"security": Security.STARTTLS, "certificates": str(certificates.certificate)}
        channel = smtp(mail, user=USER, password="wrong", **trusted)

        failed = await refused(channel, outgoing("kermit@muppets.example"))
        await channel.close()

        assert (failed.permanent, set(mail.logins), mail.mails) == (False, {"bad"}, [])
        assert "wrong" not in str(failed)


@pytest.mark.parametrize(("answer", "permanent"), [("451 4.3.0 try later", False), ("554 5.7.1 spam", True)])
async def test_a_mail_that_the_server_refuses_is_tried_again_unless_for_good(
    mail: MailServer, answer: str, permanent: bool
) -> None:
    channel = smtp(mail)
    mail.refuse_data.append(answer)

    failed = await refused(channel, outgoing("kermit@muppets.example"))
    await channel.send(outgoing("kermit@muppets.example"))
    await channel.close()

    assert failed.permanent is permanent
    assert answer in str(failed)
    assert len(mail.mails) == 1


@pytest.mark.parametrize(("answer", "permanent"), [("450 4.2.0 mailbox busy", False), ("550 5.1.1 nobody", True)])
async def test_a_recipient_that_the_server_does_not_know_is_refused_for_good(
    mail: MailServer, answer: str, permanent: bool
) -> None:
    channel = smtp(mail)
    mail.refuse_recipient = answer

    failed = await refused(channel, outgoing("nobody@muppets.example"))
    await channel.close()

    assert failed.permanent is permanent
    assert answer in str(failed)


async def test_a_mail_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        channel = SmtpMail(MailSettings(host="127.0.0.1", port=taken.getsockname()[1], security=Security.NONE), SECONDS)

        failed = await refused(channel, outgoing("kermit@muppets.example"))
        await channel.close()

    assert not failed.permanent


async def test_a_subject_cannot_add_headers(mail: MailServer) -> None:
    channel = smtp(mail)

    await channel.send(
        outgoing("kermit@muppets.example", texts=Texts(subject="Hi\r\nBcc: all@example.com", text="x", html=""))
    )
    await channel.close()

    assert mail.subjects() == ["Hi Bcc: all@example.com"]
    assert mail.recipients == ["kermit@muppets.example"]
    assert mail.mails[0]["Bcc"] is None


@pytest.mark.parametrize("address", ["", "kermit", "a@b@c", "a b@c.de", "x@c.de\r\nBcc: y@c.de", "<x@c.de>", "x@"])
def test_what_is_no_mail_address_is_refused(address: str, mail: MailServer) -> None:
    with pytest.raises(ValueError, match="expected an e-mail address"):
        smtp(mail).check_address(address)


async def test_without_a_server_mail_lies_in_a_folder_that_mail_programs_read(tmp_path: Path) -> None:
    channel = open_mail(MailSettings(folder=str(tmp_path / "mail")), SECONDS)
    assert isinstance(channel, MailFolder)

    for _ in range(2):
        await channel.send(outgoing("kermit@muppets.example"))
    await channel.send(outgoing("fozzie@muppets.example", key="0124"))

    found = mailbox.Maildir(str(tmp_path / "mail"), create=False)
    assert sorted(str(mail["To"]) for mail in found) == ["fozzie@muppets.example", "kermit@muppets.example"]
    assert sorted(path.name for path in (tmp_path / "mail" / "new").iterdir()) == ["0123.1.eml", "0124.eml"]


# --- webhooks ---


@pytest.fixture
def other_side() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def webhooks(**fields: Any) -> Webhooks:
    settings = WebhookSettings(secret="hush", allow_private_addresses=True)
    return Webhooks(replace(settings, **fields), ManualClock(BEGINNING), SECONDS)


async def test_a_webhook_is_signed_over_timestamp_and_body(other_side: Receiver) -> None:
    channel = webhooks()

    await channel.send(outgoing(f"http://127.0.0.1:{other_side.port}/hook?a=1"))
    await channel.close()

    (posted,) = other_side.posted
    timestamp = posted.headers["Flowloom-Timestamp"]
    expected = hmac.new(b"hush", timestamp.encode() + b"." + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["Flowloom-Signature"] == f"v1={expected}"
    assert (timestamp, posted.path) == (str(int(BEGINNING.timestamp())), "/hook?a=1")
    assert posted.headers["Idempotency-Key"] == "0123.1"
    body = json.loads(posted.body)
    assert (body["id"], body["event"], body["recipient"]) == ("0123.1", "task-assigned", "kermit")
    assert (body["task"], body["subject"]) == ({"id": "t-1", "name": "Prüfung"}, "Assigned to you: Prüfung")


@pytest.mark.parametrize(
    ("status", "permanent"), [(500, False), (503, False), (429, False), (408, False), (404, True), (302, True)]
)
async def test_a_webhook_that_is_refused_is_tried_again_unless_for_good(
    other_side: Receiver, status: int, permanent: bool
) -> None:
    channel = webhooks()
    other_side.statuses.append(status)
    other_side.headers["Retry-After"] = "77"

    failed = await refused(channel, outgoing(f"http://127.0.0.1:{other_side.port}/"))
    await channel.close()

    assert failed.permanent is permanent
    assert failed.retry_seconds == (None if permanent else 77.0)


async def test_a_webhook_does_not_call_private_addresses_unless_allowed(other_side: Receiver) -> None:
    channel = webhooks(allow_private_addresses=False)

    failed = [
        await refused(channel, outgoing(f"http://{host}:{other_side.port}/")) for host in ("127.0.0.1", "localhost")
    ]
    await channel.close()

    assert [one.permanent for one in failed] == [True, True]
    assert "webhook_allow_private_addresses" in str(failed[0])
    assert other_side.posted == []


async def test_a_webhook_without_a_secret_is_not_called(other_side: Receiver) -> None:
    channel = webhooks(secret="")

    failed = await refused(channel, outgoing(f"http://127.0.0.1:{other_side.port}/"))
    await channel.close()

    assert failed.permanent
    assert other_side.posted == []


@pytest.mark.parametrize("address", ["", "ftp://x/", "http://", "file:///etc/passwd", "https://user:pass@x/", "x"])
def test_what_is_no_web_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        webhooks().check_address(address)


# --- services behind Apprise ---


def service(name: str, url: str, **fields: Any) -> tuple[WebService, Any]:
    settings = replace(ServiceSettings(), **{name: url, **fields})
    channels, threads = open_services(settings, 5.0)
    return channels[name], threads


@pytest.mark.parametrize(
    ("name", "scheme"), [("sms", "json"), ("push", "form"), ("dingtalk", "xml"), ("slack", "json")]
)
async def test_services_get_subject_text_address_and_key(other_side: Receiver, name: str, scheme: str) -> None:
    channel, threads = service(name, f"{scheme}://127.0.0.1:{other_side.port}/to/{{address}}")

    await channel.send(outgoing("+49 151/23"))
    threads.shutdown()

    (posted,) = other_side.posted
    assert posted.path.split("/")[1:] == ["to", "+49%20151%2F23"]
    assert posted.headers["Idempotency-Key"] == "0123.1"
    assert "Assigned to you" in unquote_plus(posted.body.decode())


async def test_a_service_that_refuses_says_why_and_is_tried_again(other_side: Receiver) -> None:
    channel, threads = service("sms", f"json://127.0.0.1:{other_side.port}/{{address}}")
    other_side.statuses.append(503)

    failed = await refused(channel, outgoing("0151"))
    threads.shutdown()

    assert not failed.permanent
    assert "503" in str(failed)


async def test_an_address_cannot_add_arguments_to_the_url_of_a_service(other_side: Receiver) -> None:
    channel, threads = service("sms", f"json://127.0.0.1:{other_side.port}/{{address}}")

    await channel.send(outgoing("0151?method=PUT&+Authorization=mine"))
    threads.shutdown()

    (posted,) = other_side.posted
    assert "Authorization" not in posted.headers
    assert "0151%3Fmethod" in posted.path


async def test_a_recipients_own_url_must_be_of_an_allowed_scheme(other_side: Receiver) -> None:
    own = f"json://127.0.0.1:{other_side.port}/mine"
    closed, threads = service("push", "")
    opened, more_threads = service("push", "", recipient_schemes=("json",))

    failed = await refused(closed, outgoing(own))
    await opened.send(outgoing(own))
    threads.shutdown()
    more_threads.shutdown()

    assert failed.permanent
    assert "service_recipient_schemes" in str(failed)
    assert [posted.path for posted in other_side.posted] == ["/mine"]


def test_a_service_that_is_not_set_up_takes_no_plain_address() -> None:
    channel, threads = service("sms", "")
    threads.shutdown()

    assert channel.needs_address
    with pytest.raises(ValueError, match="expected a service that is set up"):
        channel.check_address("0151")


async def test_the_number_of_threads_bounds_what_is_under_way(other_side: Receiver) -> None:
    channel, threads = service("sms", f"json://127.0.0.1:{other_side.port}/{{address}}", threads=2)
    other_side.release.clear()
    sending = [asyncio.create_task(channel.send(outgoing(f"{n}"))) for n in range(5)]
    while len(other_side.posted) < 2:  # noqa: ASYNC110 - the other side announces nothing
        await asyncio.sleep(0.005)

    most = len(other_side.posted)
    other_side.release.set()
    await asyncio.gather(*sending)
    threads.shutdown()

    assert (most, len(other_side.posted)) == (2, 5)
