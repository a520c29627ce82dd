"""`flowloom login` and what every command does with the session."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from host.cli import sessions
from host.cli.application import app
from mesh.clock import SystemClock
from tests.host.enforced import PASSWORD, enforced_mesh

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mesh on a loop of its own: commands bring theirs."""
    folder, ready, done = tmp_path_factory.mktemp("mesh"), threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with enforced_mesh(folder, FLOWLOOM_IDENTITY_TOKENS_ACCESS_SECONDS="60") as mesh:
            found.extend((mesh.embedded.grpc_address, asyncio.get_running_loop()))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    yield found[0]
    found[1].call_soon_threadsafe(done.set)
    thread.join(60)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "flowloom"


@pytest.fixture
def flowloom(target: str, home: Path) -> Run:
    def run(*words: str, **environment: str) -> Any:
        return CliRunner().invoke(app, list(words), env={"FLOWLOOM_TARGET": target, **environment})

    return run


def log_in(flowloom: Run) -> None:
    result = flowloom("login", "admin", FLOWLOOM_PASSWORD=PASSWORD)
    assert result.exit_code == 0, result.output


def test_without_a_session_a_command_says_how_to_get_one(flowloom: Run, home: Path) -> None:
    result = flowloom("tasks")

    assert result.exit_code == 1
    assert "not-logged-in" in result.stderr
    assert "flowloom login" in result.stderr
    assert not home.exists()


def test_commands_use_the_session_until_it_is_ended(flowloom: Run) -> None:
    log_in(flowloom)
    assert flowloom("tasks").exit_code == 0

    ended = flowloom("logout")

    assert "logged out admin" in ended.output
    assert flowloom("tasks").exit_code == 1
    assert "nobody" in flowloom("logout").output


def test_the_session_is_for_its_owner_alone(flowloom: Run, home: Path) -> None:
    log_in(flowloom)

    file = home / "sessions.json"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert PASSWORD not in file.read_text()


def test_a_session_that_is_about_to_end_is_refreshed(flowloom: Run, home: Path, target: str) -> None:
    log_in(flowloom)
    kept = json.loads((home / "sessions.json").read_text())
    kept[target]["access_until"] = SystemClock().now().timestamp() + 5
    (home / "sessions.json").write_text(json.dumps(kept))

    assert flowloom("tasks").exit_code == 0

    fresh = json.loads((home / "sessions.json").read_text())
    assert fresh[target]["access_token"] != kept[target]["access_token"]
    assert fresh[target]["refresh_token"] != kept[target]["refresh_token"]


def test_many_commands_at_once_refresh_once(flowloom: Run, home: Path, target: str) -> None:
    log_in(flowloom)
    kept = json.loads((home / "sessions.json").read_text())
    kept[target]["access_until"] = 0
    (home / "sessions.json").write_text(json.dumps(kept))
    tokens: list[str] = []

    def refresh() -> None:
        async def within() -> str:

            async with grpc.aio.insecure_channel(target) as channel:
                return await sessions.access_token(target, channel)

        tokens.append(asyncio.run(within()))

    threads = [threading.Thread(target=refresh) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tokens) == 5
    assert len(set(tokens)) == 1


def test_a_session_that_is_over_says_so_and_is_forgotten(flowloom: Run, home: Path, target: str) -> None:
    log_in(flowloom)
    kept = json.loads((home / "sessions.json").read_text())
    kept[target] |= {"access_until": 0, "refresh_token": "stolen and long gone"}
    (home / "sessions.json").write_text(json.dumps(kept))

    result = flowloom("tasks")

    assert "session-over" in result.stderr
    assert json.loads((home / "sessions.json").read_text()) == {}


def test_a_token_or_a_password_serves_one_command(flowloom: Run, home: Path, target: str) -> None:
    log_in(flowloom)
    token = json.loads((home / "sessions.json").read_text())[target]["access_token"]
    flowloom("logout")
    log_in(flowloom)
    token = json.loads((home / "sessions.json").read_text())[target]["access_token"]
    (home / "sessions.json").unlink()

    assert flowloom("--token", token, "tasks").exit_code == 0
    assert flowloom("tasks", FLOWLOOM_TOKEN=token).exit_code == 0
    assert flowloom("tasks", FLOWLOOM_USER="admin", FLOWLOOM_PASSWORD=PASSWORD).exit_code == 0
    assert not (home / "sessions.json").exists()


def test_what_is_wrong_is_told_in_one_line(flowloom: Run) -> None:
    wrong = flowloom("login", "admin", FLOWLOOM_PASSWORD="guessed")
    forged = flowloom("tasks", FLOWLOOM_TOKEN="forged")

    assert (wrong.exit_code, forged.exit_code) == (1, 1)
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "guessed" not in wrong.stderr
    assert "token-invalid" in forged.stderr


def test_an_administrator_makes_people_who_then_work_with_what_they_may(flowloom: Run) -> None:
    log_in(flowloom)
    assert flowloom("users", "create", "kermit", FLOWLOOM_NEW_PASSWORD="a frog's first one").exit_code == 0
    assert flowloom("groups", "create", "frogs").exit_code == 0
    assert flowloom("groups", "add", "frogs", "kermit").output == "kermit is in frogs\n"
    assert flowloom("privileges", "grant", "engine.task.*", "--group", "frogs").exit_code == 0
    kermit = {"FLOWLOOM_USER": "kermit", "FLOWLOOM_PASSWORD": "a frog's first one"}

    assert flowloom("tasks", **kermit).exit_code == 0
    assert "privilege-missing" in flowloom("users", "list", **kermit).stderr
    token = flowloom("tokens", "create", "frogs' program", **kermit).output.strip()
    assert token.startswith("flt_")
    listed = json.loads(flowloom("tokens", "list", "--json", **kermit).output)["data"]
    assert [(each["name"], each["active"]) for each in listed] == [("frogs' program", True)]
    assert flowloom("tokens", "revoke", listed[0]["id"], **kermit).exit_code == 0
    assert flowloom("users", "password", FLOWLOOM_NEW_PASSWORD="a frog's second one", **kermit).exit_code == 0
    assert flowloom("tasks", **kermit).exit_code == 1
    kermit["FLOWLOOM_PASSWORD"] = "a frog's second one"
    assert flowloom("privileges", "revoke", "engine.task.*", "--group", "frogs").exit_code == 0
    assert "privilege-missing" in flowloom("tasks", **kermit).stderr
    assert flowloom("users", "password", "kermit", FLOWLOOM_NEW_PASSWORD="a frog's third one").exit_code == 0
    assert flowloom("groups", "remove", "frogs", "kermit").exit_code == 0
    erased = json.loads(flowloom("users", "erase", "kermit", "--with-values", "--with-comments", "--json").output)
    assert erased["identity"]["user"] == 1
    assert {"preferences", "delivery"} < set(erased["notify"])
    assert set(erased) == {"identity", "notify", "forms", "history"}
    assert "user-not-found" in flowloom("users", "delete", "kermit").stderr
    assert "kermit" not in flowloom("users", "list").output
