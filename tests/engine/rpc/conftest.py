"""A running engine for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.rpc.world import Mesh, running


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """RuntimeService and TaskService of an engine of one's own."""
    async with running(tmp_path) as found:
        yield found
