"""What every process of the mesh has: the contract, and a registry of its figures."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

DESCRIPTORS: Final = "descriptors.pb"


def descriptor_set() -> bytes:
    """The merged descriptor set of all contracts, as generated."""
    return files("flowloom").joinpath(DESCRIPTORS).read_bytes()


def process_registry() -> CollectorRegistry:
    """A registry with what a process tells about itself."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
