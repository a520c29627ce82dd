"""`flowloom up` turns its flags into options, says where it is, and tells in one line why it could not start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from host import running
from host.cli.application import app
from host.running import UpOptions

Runs = list[tuple[Any, ...]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    made: Runs = []
    monkeypatch.setattr(running, "up", lambda *given: made.append(given))
    return made


def test_without_flags_everything_has_its_default(runs: Runs) -> None:
    result = CliRunner().invoke(app, ["up"])

    assert result.exit_code == 0, result.output
    assert runs[0][0] == UpOptions()


def test_each_flag_is_an_option(runs: Runs) -> None:
    words = (
        "up --address 127.0.0.2 --port 0 --grpc-port 5 --data-directory d --database engine=sqlite:///e "
        "--database history=sqlite:///h --no-edge --manual-jobs --manual-clock --announce f --quiet"
    )

    result = CliRunner().invoke(app, words.split())

    assert result.exit_code == 0, result.output
    options = UpOptions(
        address="127.0.0.2",
        port=0,
        grpc_port=5,
        data_directory=Path("d"),
        database_urls={"engine": "sqlite:///e", "history": "sqlite:///h"},
        edge=False,
        manual_jobs=True,
        manual_clock=True,
        announce=Path("f"),
        quiet=True,
    )
    assert runs == [(options,)]


@pytest.mark.parametrize("given", ["sqlite:///e", "engine=", "nobody=sqlite:///e"])
def test_a_database_of_no_service_is_refused(runs: Runs, given: str) -> None:
    result = CliRunner().invoke(app, ["up", "--database", given])

    assert result.exit_code == 2
    assert "SERVICE=URL" in result.output
    assert runs == []


@pytest.mark.parametrize("checks_access", [True, False])
def test_what_is_up_says_where_and_what_to_try(monkeypatch: pytest.MonkeyPatch, checks_access: bool) -> None:
    mesh = SimpleNamespace(
        rest_address="http://127.0.0.1:8080",
        grpc_address="127.0.0.1:3001",
        metrics_address="http://127.0.0.1:9000",
        checks_access=checks_access,
    )
    monkeypatch.setattr(running, "up", lambda _, announce: announce(mesh))

    result = CliRunner().invoke(app, ["up"])

    assert "REST     http://127.0.0.1:8080/process-api" in result.output
    assert "gRPC     127.0.0.1:8080" in result.output
    assert ("flowloom login admin" in result.output) is checks_access
    assert ("Access is off" in result.output) is not checks_access
    assert "export FLOWLOOM_TARGET=127.0.0.1:8080" in result.output


def test_what_cannot_start_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("port 8080 is taken")

    monkeypatch.setattr(running, "up", refuse)

    result = CliRunner().invoke(app, ["up"])

    assert (result.exit_code, result.stderr) == (1, "error: not-started: port 8080 is taken\n")
