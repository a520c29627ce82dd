"""A scripted mesh, and the command line pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from host.cli.application import app
from tests.host.cli.scripted_mesh import ScriptedMesh, running_scripted_mesh

Run = Callable[..., Any]


@pytest.fixture
def scripted_mesh() -> Iterator[ScriptedMesh]:
    with running_scripted_mesh() as scripted:
        yield scripted


@pytest.fixture
def flowloom(scripted_mesh: ScriptedMesh) -> Run:
    """Runs `flowloom WORDS...` against the scripted mesh and returns the result."""

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, list(words), env={"FLOWLOOM_TARGET": scripted_mesh.target})

    return run
