"""Free ports: none that the system gives away, none twice."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh import ports
from mesh.testing.ports import free_port


def test_a_free_port_is_none_that_the_system_gives_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given, socket.socket() as probe:
        port = ports.free_port()
        probe.bind(("127.0.0.1", port))
        assert port < ports._lowest_given_away() <= given.getsockname()[1]


def test_a_taken_port_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        taken = ports.free_port()
        server.bind(("127.0.0.1", taken))
        monkeypatch.setattr(ports, "LOWEST", taken)
        monkeypatch.setattr(ports, "_lowest_given_away", lambda: taken + 1)
        with pytest.raises(OSError, match=f"between {taken} and {taken}, found none"):
            ports.free_port()


@pytest.mark.parametrize(("said", "lowest"), [("49152\t65535\n", 49_152), ("1024 65535", 32_768), ("none", 32_768)])
def test_the_range_is_as_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, lowest: int
) -> None:
    (tmp_path / "range").write_text(said)
    monkeypatch.setattr(ports, "_LOCAL_RANGE", tmp_path / "range")
    assert ports._lowest_given_away() == lowest


def test_a_system_that_says_nothing_has_the_usual_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_LOCAL_RANGE", tmp_path / "none")
    assert ports._lowest_given_away() == 32_768


def test_no_two_processes_of_tests_get_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = free_port()
    other = f"import mesh.testing.ports as p; print(p._claim({mine}))"
    answer = subprocess.run([sys.executable, "-c", other], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "False"
    monkeypatch.setattr(ports, "LOWEST", mine)
    monkeypatch.setattr(ports, "_lowest_given_away", lambda: mine + 1)
    with pytest.raises(OSError, match="found none"):
        free_port()
