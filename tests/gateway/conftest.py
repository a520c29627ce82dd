"""The edge that the tests of a module share; tests that break things open their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.edges import Edge, opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """An Envoy in front of one sample service."""
    async with opened(tmp_path_factory.mktemp("edge")) as shared:
        yield shared
