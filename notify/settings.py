"""What can be set about notify, from `FLOWLOOM_NOTIFY_*`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mesh.bus.ports import GroupSettings
from mesh.db.database import DatabaseSettings
from mesh.settings import setting

TOPIC: Final = "flowable.history"


class Security(Enum):
    """How a mail server is spoken to."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDatabase(DatabaseSettings):
    """Notify's own database; a file of its own where it is SQLite."""

    url: str = setting("sqlite:///flowloom-notify.db", doc="MySQL, MariaDB or SQLite of its own.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """Mail: over a server, or into a folder on this machine where no server is named."""

    host: str = setting("", doc="The SMTP server; empty: mail goes into the folder.")
    port: int = setting(587, doc="Its port.", minimum=1, maximum=65535)
    security: Security = setting(Security.STARTTLS, doc="How the connection is made safe.")
    user: str = setting("", doc="Who logs in; empty: nobody does.")
    password: str = setting("", doc="The password.", secret=True)
    certificates: str = setting("", doc="A file of authorities to trust instead of the system's.")
    sender: str = setting("Flowloom <flowloom@localhost>", doc="Who mail comes from.")
    domain: str = setting("flowloom.localhost", doc="The right side of Message-IDs.")
    folder: str = setting(".flowloom/mail", doc="The Maildir for mail where there is no server.")
    connections: int = setting(4, doc="Mails under way at once.", minimum=1, maximum=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Webhooks, signed."""

    secret: str = setting("", doc="The key of the signature; empty: no webhook is called.", secret=True)
    allow_private_addresses: bool = setting(False, doc="Whether webhooks may lead to private and loopback addresses.")
    connections: int = setting(32, doc="Calls under way at once.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """SMS, push, DingTalk and Slack through Apprise. `{address}` stands for the recipient's address."""

    sms: str = setting(
        "", doc="Apprise URL of the SMS service, such as twilio://SID:TOKEN@FROM/{address}.", secret=True
    )
    push: str = setting("", doc="Apprise URL of the push service.", secret=True)
    dingtalk: str = setting("", doc="Apprise URL of DingTalk, such as dingtalk://TOKEN/{address}.", secret=True)
    slack: str = setting("", doc="Apprise URL of Slack, such as slack://TOKENS/{address}.", secret=True)
    recipient_schemes: tuple[str, ...] = setting(
        ("dingtalk", "slack", "pover", "pbul", "tgram"),
        doc="Apprise URLs that recipients may name themselves; only services whose host cannot be chosen belong here.",
    )
    threads: int = setting(8, doc="Messages under way at once.", minimum=1, maximum=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """Bounds of templates."""

    characters: int = setting(65_536, doc="The longest template text.", minimum=1)
    output_characters: int = setting(262_144, doc="The longest rendered text.", minimum=1)
    render_seconds: float = setting(2.0, doc="How long rendering one message may use the processor.", minimum=0.01)
    render_memory_bytes: int = setting(256 * 1024 * 1024, doc="Memory of the rendering process.", minimum=64 * 1024**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingSettings:
    """Attempts of deliveries."""

    concurrency: int = setting(16, doc="Deliveries under way at once in this process.", minimum=1, maximum=1000)
    send_seconds: float = setting(30.0, doc="How long one attempt may take.", minimum=0.1)
    lease_seconds: float = setting(120.0, doc="How long a delivery or notice belongs to who took it.", minimum=0.1)
    tries: int = setting(8, doc="Attempts before a delivery is given up.", minimum=1, maximum=100)
    retry_seconds: float = setting(10.0, doc="The pause before the second attempt; each further one doubles.")
    max_retry_seconds: float = setting(3600.0, doc="The longest pause between attempts.")
    poll_seconds: float = setting(1.0, doc="How often to look for what is due when nobody wakes.", minimum=0.001)
    batch: int = setting(100, doc="Notices planned in one transaction.", minimum=1, maximum=1000)
    digest_entries: int = setting(200, doc="Entries of one digest; more go into another one.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Complete and working when nothing is set."""

    database: NotifyDatabase = field(default_factory=NotifyDatabase)
    bus: GroupSettings = field(default_factory=GroupSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    template: TemplateSettings = field(default_factory=TemplateSettings)
    sending: SendingSettings = field(default_factory=SendingSettings)
    topic: str = setting(TOPIC, doc="The topic that carries the engine's events.")
    group: str = setting("notify", doc="The consumer group: the name under which the bus remembers the offset.")
    migrate: bool = setting(True, doc="Bring the tables up to date at the start.")
    language: str = setting("en", doc="Of users who prefer none.")
    time_zone: str = setting("UTC", doc="Of users who prefer none.")
    channels: tuple[str, ...] = setting(("mail",), doc="Of users who prefer none.")
    muted_events: tuple[str, ...] = setting((), doc="Events that users who prefer nothing do not hear of.")
    operators: tuple[str, ...] = setting((), doc="Users who hear of incidents whatever they prefer.")
    due_soon_seconds: float = setting(24 * 3600.0, doc="How long before its due date a task is due soon.")
    max_recipients: int = setting(1000, doc="People who hear of one thing.", minimum=1)
    directory_seconds: float = setting(60.0, doc="How long users and groups are remembered.")
    task_url: str = setting("", doc="Where a task can be seen, with {task_id}; templates know it as `link`.")
    retention_seconds: float = setting(90 * 24 * 3600.0, doc="How long deliveries that are over are kept.")
    lag_interval_seconds: float = setting(5.0, doc="How often the lag is measured.", minimum=0.1)
