"""Where a service may be found: addresses as people write them, before anything is looked up."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Target:
    """A host (an IP address, or a name that stands for any number of them) and a port."""

    host: str
    port: int


def read_targets(text: str) -> tuple[Target, ...]:
    """Read `host:port[,host:port]...`; an IPv6 address stands in brackets.

    Raises:
        ValueError: for anything else.
    """
    return tuple(_target(part.strip()) for part in text.split(",") if part.strip())


def written(targets: Sequence[Target]) -> str:
    """Return targets as they are read."""
    return ",".join(
        f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}" for each in targets
    )


def _target(text: str) -> Target:
    host, found, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not found or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"host:port, found {text!r}")
    return Target(host=host, port=int(port))
