"""SMS, push, DingTalk and Slack through Apprise, which knows the services behind its URLs.

Apprise blocks and only says whether it worked. So it runs in threads of a bounded number, its warnings are the reason
of a failure, and every failure is tried again. It cannot hand a message id to a service of other people; the open
formats (json, xml, form) get it as `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import quote

from notify.app.ports import Outgoing, SendFailed
from notify.model.names import DINGTALK, PUSH, SLACK, SMS
from notify.settings import ServiceSettings

ADDRESS_PLACE: Final = "{address}"
MAX_ADDRESS_CHARACTERS: Final = 2000
_OPEN_FORMATS: Final = frozenset(("json", "jsons", "xml", "xmls", "form", "forms"))
_IDEMPOTENCY_HEADER: Final = "Idempotency-Key"


class WebService:
    """A `Channel`. An address is what the setting's URL has a place for, or an Apprise URL of an allowed scheme."""

    def __init__(
        self, url: str, allowed_schemes: tuple[str, ...], threads: ThreadPoolExecutor, timeout_seconds: float
    ) -> None:
        """`url` may be empty: then only recipients' own URLs work. The threads are their owner's to end."""
        self._url = url
        self._allowed = frozenset(allowed_schemes)
        self._threads = threads
        self._timeout_seconds = timeout_seconds
        self.needs_address = not url or ADDRESS_PLACE in url

    def check_address(self, address: str) -> None:
        """Raise ValueError for what nothing can be sent to."""
        if len(address) > MAX_ADDRESS_CHARACTERS or not address.isprintable():
            raise ValueError(
                f"expected printable text of at most {MAX_ADDRESS_CHARACTERS} characters, found another one"
            )
        scheme, is_url, _ = address.partition("://")
        if is_url:
            if scheme.lower() not in self._allowed:
                known = ", ".join(sorted(self._allowed)) or "none"
                raise ValueError(f"expected a scheme of {known} (setting: service_recipient_schemes), found '{scheme}'")
        elif not self._url:
            raise ValueError("expected a service that is set up, or a URL of the recipient's own, found neither")
        elif self.needs_address and not address:
            raise ValueError("expected an address, found none")

    async def send(self, message: Outgoing) -> None:
        """Return once the service has taken it. Raises SendFailed."""
        try:
            self.check_address(message.address)
        except ValueError as wrong:
            raise SendFailed(str(wrong), permanent=True) from wrong
        url = self._target(message)
        await asyncio.get_running_loop().run_in_executor(self._threads, _notify, url, message)

    async def close(self) -> None:
        """Nothing is open."""

    def _target(self, message: Outgoing) -> str:
        if "://" in message.address:
            url = message.address
        else:
            # Quoted whole, so that an address stays one and adds no argument to the URL.
            url = self._url.replace(ADDRESS_PLACE, quote(message.address, safe=""))
        more = {"cto": f"{self._timeout_seconds:g}", "rto": f"{self._timeout_seconds:g}"}
        if url.partition("://")[0].lower() in _OPEN_FORMATS:
            more[f"+{_IDEMPOTENCY_HEADER}"] = quote(message.key, safe="")
        joint = "&" if "?" in url else "?"
        return url + joint + "&".join(f"{name}={value}" for name, value in more.items())


def open_services(
    settings: ServiceSettings, timeout_seconds: float
) -> tuple[Mapping[str, WebService], ThreadPoolExecutor]:
    """The channels of the settings, and the threads in which they send."""
    threads = ThreadPoolExecutor(max_workers=settings.threads, thread_name_prefix="notify-service")
    urls = {SMS: settings.sms, PUSH: settings.push, DINGTALK: settings.dingtalk, SLACK: settings.slack}
    made = {name: WebService(url, settings.recipient_schemes, threads, timeout_seconds) for name, url in urls.items()}
    return made, threads


def _notify(url: str, message: Outgoing) -> None:
    # Here, not above: Apprise takes a while to import, and whoever needs only mail does not need it.
    import apprise

    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        service: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            why = heard.said or "no service has such a URL"
            raise SendFailed(f"expected a URL that Apprise knows, found another one: {why}", permanent=True)
        subject = message.texts.subject
        took = service.notify(body=message.texts.text, title=subject, body_format=apprise.NotifyFormat.TEXT)
    except SendFailed:
        raise
    except Exception as error:  # a plug-in of theirs may raise anything
        raise SendFailed(f"the service failed with {type(error).__name__}: {error}") from error
    finally:
        logger.removeHandler(heard)
    if not took:
        raise SendFailed(f"the service refused or did not answer: {heard.said or 'it does not say why'}")


class _Heard(logging.Handler):
    """What Apprise warns of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    @property
    def said(self) -> str:
        return "; ".join(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())
