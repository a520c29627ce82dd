"""What a service cannot run without when it runs alone, and who has not told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from host.access import PREFIX as ACCESS
from host.addresses import PREFIX as ADDRESS
from mesh.access.service_tokens import MIN_KEY_LENGTH
from mesh.access.settings import AccessMode, AccessSettings
from mesh.settings import SettingsError, load

READ_THE_BUS: Final = frozenset({"history", "notify"})
"""They live from the engine's events."""


def check_needs(service: str, environment: Mapping[str, str]) -> None:
    """Raise SettingsError with one line for each need of a service that the environment does not name."""
    missing = tuple(_missing(service, environment))
    if missing:
        raise SettingsError(missing)


def database_variable(service: str) -> str:
    """Return the name of the variable that says where a service keeps its tables."""
    return f"FLOWLOOM_{service.upper()}_DATABASE_URL"


def _missing(service: str, environment: Mapping[str, str]) -> Iterator[str]:
    database = database_variable(service)
    if service != "gateway" and not environment.get(database):
        yield f"{database}: expected where {service} keeps its tables (mysql://user:password@host/name), found nothing"
    if service in READ_THE_BUS and not environment.get("FLOWLOOM_BUS_URL"):
        yield (
            f"FLOWLOOM_BUS_URL: expected the broker that brings {service} the engine's events (kafka://host:port), "
            "found nothing; without a broker it runs with the engine in one process (flowloom up)"
        )
    access = load(AccessSettings, environment, ACCESS)
    if access.mode is AccessMode.OFF:
        return
    if len(access.service_key) < MIN_KEY_LENGTH:
        yield (
            f"{ACCESS}SERVICE_KEY: expected the secret that the services of this mesh share, of at least "
            f"{MIN_KEY_LENGTH} characters, found {len(access.service_key)}"
        )
    if service != "identity" and not environment.get(f"{ADDRESS}IDENTITY"):
        yield f"{ADDRESS}IDENTITY: expected where identity is (host:port), who knows all that call, found nothing"
