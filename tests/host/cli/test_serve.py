"""`flowloom serve` says in one line each what it would need, and does not start without it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from host.cli.application import app

KEY = "a-secret-that-all-services-of-the-test-share"
COMPLETE = {
    "FLOWLOOM_ACCESS_MODE": "enforced",
    "FLOWLOOM_ACCESS_SERVICE_KEY": KEY,
    "FLOWLOOM_ADDRESS_IDENTITY": "identity:3002",
    "FLOWLOOM_BUS_URL": "kafka://kafka:9092",
}


def refused(service: str, environment: dict[str, str]) -> list[str]:
    """The variables that are named, one a line."""
    # What this process was started with is not meant.
    told = {"FLOWLOOM_BUS_URL": "", "FLOWLOOM_ADDRESS_IDENTITY": "", "FLOWLOOM_ACCESS_SERVICE_KEY": "", **environment}

    result = CliRunner().invoke(app, ["serve", service], env=told)

    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert all(line.startswith("error: not-started: FLOWLOOM_") for line in lines), result.stderr
    return [line.split(": ")[2] for line in lines]


@pytest.mark.parametrize("service", ["engine", "identity", "forms", "notify", "history"])
def test_a_service_without_database_is_not_started(service: str) -> None:
    assert refused(service, COMPLETE) == [f"FLOWLOOM_{service.upper()}_DATABASE_URL"]


@pytest.mark.parametrize("service", ["notify", "history"])
def test_who_reads_the_bus_needs_a_broker(service: str, tmp_path: object) -> None:
    database = {f"FLOWLOOM_{service.upper()}_DATABASE_URL": f"sqlite:///{tmp_path}/found.db"}

    assert refused(service, {**COMPLETE, **database, "FLOWLOOM_BUS_URL": ""}) == ["FLOWLOOM_BUS_URL"]


def test_everything_that_is_missing_is_told_at_once() -> None:
    assert refused("history", {"FLOWLOOM_ACCESS_MODE": "enforced"}) == [
        "FLOWLOOM_HISTORY_DATABASE_URL",
        "FLOWLOOM_BUS_URL",
        "FLOWLOOM_ACCESS_SERVICE_KEY",
        "FLOWLOOM_ADDRESS_IDENTITY",
    ]


def test_a_gateway_needs_the_key_and_identity() -> None:
    assert refused("gateway", {"FLOWLOOM_ACCESS_MODE": "enforced", "FLOWLOOM_ACCESS_SERVICE_KEY": "short"}) == [
        "FLOWLOOM_ACCESS_SERVICE_KEY",
        "FLOWLOOM_ADDRESS_IDENTITY",
    ]


def test_a_wrong_address_is_named_with_its_variable(tmp_path: object) -> None:
    environment = {
        **COMPLETE,
        "FLOWLOOM_ENGINE_DATABASE_URL": f"sqlite:///{tmp_path}/engine.db",
        "FLOWLOOM_ADDRESS_IDENTITY": "one:3002,two:3002",
    }

    assert refused("engine", environment) == ["FLOWLOOM_ADDRESS_IDENTITY"]
