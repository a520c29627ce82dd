"""Where the other services of the mesh are, from FLOWLOOM_ADDRESS_…"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from mesh.settings import SettingsError, load, setting

PREFIX: Final = "FLOWLOOM_ADDRESS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the other services are; an empty one is not there.

    Each is `host:port`: a name that stands for any number of processes, or IP addresses, several with commas between.
    The gateway takes several names, too; it asks all that it finds for their health.
    """

    engine: str = setting("127.0.0.1:3001", doc="Name or IP addresses, with ports, of the engine.")
    identity: str = setting("", doc="Name or IP addresses, with ports, of identity.")
    forms: str = setting("", doc="Name or IP addresses, with ports, of forms.")
    notify: str = setting("", doc="Name or IP addresses, with ports, of notify.")
    history: str = setting("", doc="Name or IP addresses, with ports, of history.")

    def given(self) -> dict[str, str]:
        """The addresses by service, those that are not empty."""
        return {part.name: at for part in fields(self) if (at := getattr(self, part.name))}


def addresses_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses by service, as they are written. Raises SettingsError."""
    return load(Addresses, environment, PREFIX).given()


def channel_target(service: str, address: str) -> str:
    """Return what gRPC calls the address of a service.

    gRPC looks one name up by itself, and shares calls out among all that it stands for; several addresses are told as
    they are. Raises SettingsError for several names, and for what is no `host:port`.
    """
    parts = [part.strip() for part in address.split(",") if part.strip()]
    hosts = [_host(part) for part in parts]
    if len(parts) == 1 and hosts[0]:
        return parts[0]
    versions = {_version(host) for host in hosts}
    if len(versions) != 1 or None in versions:
        wanted = "host:port with one name, or with IP addresses of one kind, commas between"
        raise SettingsError((f"{PREFIX}{service.upper()}: expected {wanted}, found {address!r}",))
    return f"ipv{versions.pop()}:{','.join(parts)}"


def _host(part: str) -> str:
    """The host of `host:port`; empty for something else."""
    host, _, port = part.rpartition(":")
    return host.removeprefix("[").removesuffix("]") if port.isdigit() and 0 < int(port) < 65536 else ""


def _version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
