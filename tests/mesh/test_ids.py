"""Ids: valid, ordered, and carrying their shard."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from mesh.ids import SHARDS, IdSource, is_id, shard_of
from mesh.testing.ids import SequentialIds


def test_an_id_is_a_version_7_uuid_of_its_millisecond() -> None:
    parsed = uuid.UUID(IdSource(now_ms=lambda: 1_700_000_000_123).root())

    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == 1_700_000_000_123


@pytest.mark.parametrize("shard", [0, 1, 512, SHARDS - 1])
def test_an_id_carries_the_shard_that_it_was_minted_for(shard: int) -> None:
    mint = IdSource().for_shard(shard)

    assert {shard_of(mint()) for _ in range(100)} == {shard}


@pytest.mark.parametrize("shard", [-1, SHARDS])
def test_a_shard_out_of_range_is_refused(shard: int) -> None:
    with pytest.raises(ValueError, match="expected a shard"):
        IdSource().for_shard(shard)


def test_roots_spread_evenly_over_the_shards() -> None:
    source = IdSource()

    counts = Counter(shard_of(source.root()) for _ in range(SHARDS * 50))

    assert len(counts) == SHARDS
    assert max(counts.values()) < 100


def test_the_first_roots_of_many_processes_spread_too() -> None:
    shards = {shard_of(IdSource().root()) for _ in range(500)}

    assert len(shards) > 250


def test_ids_of_one_source_are_strictly_increasing_whatever_their_shard() -> None:
    source = IdSource()
    high, low = source.for_shard(SHARDS - 1), source.for_shard(0)

    ids = [mint() for _ in range(20_000) for mint in (high, low, source.root)]

    assert all(first < second for first, second in pairwise(ids))


def test_ids_stay_increasing_when_the_clock_steps_back() -> None:
    times = iter([100, 100, 50, 50, 100, 100, 101, 101, 101])
    source = IdSource(now_ms=lambda: next(times, 101))

    ids = [source.root() for _ in range(5)]

    assert ids == sorted(set(ids))


def test_threads_never_get_the_same_id() -> None:
    source = IdSource()
    mint = source.for_shard(3)

    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda _: [mint() for _ in range(5_000)], range(8)))

    assert len({minted for batch in batches for minted in batch}) == 40_000


@pytest.mark.parametrize("text", ["", "task-1", "z" * 36, "0" * 37])
def test_a_text_that_is_no_id_has_no_shard(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="expected an id"):
        shard_of(text)


def test_is_id_knows_what_was_minted() -> None:
    assert is_id(IdSource().root())
    assert is_id(SequentialIds().root())
    assert not is_id(str(uuid.UUID(int=0)))


def test_sequential_ids_can_be_foretold() -> None:
    ids = SequentialIds(root_shard=5)

    assert ids.root() == "00000000-0000-7000-8000-000000000405"
    assert ids.for_shard(2)() == "00000000-0000-7000-8000-000000000802"
    assert shard_of(ids.root()) == 5
