"""An engine and a forms service for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.forms.worlds import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(tmp_path)
    await found.start()
    yield found
    await found.stop()
