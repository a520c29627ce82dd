"""Envoy's configuration as files, each written beside its place and renamed into it: no reader sees half a file."""

import json
import os
from pathlib import Path
from typing import Final

from gateway.app.generator import Resources, bootstrap, discovery_response, generate
from gateway.app.listeners import CERTIFICATES
from gateway.app.sources import FileSource, descriptor_file_name, endpoints_name
from gateway.app.types import Json
from gateway.model.snapshot import Snapshot

BOOTSTRAP: Final = "bootstrap.json"
_ENDPOINTS_PREFIX: Final = "eds-"
_CONTRACT_PREFIX: Final = "contract-"


class ConfigFiles:
    """The files of one Envoy in one directory, which nobody else writes."""

    def __init__(self, directory: Path, *, access_log_path: str | None = None) -> None:
        self.directory: Final = directory.absolute()
        self._source = FileSource(directory=str(self.directory))
        self._access_log_path = access_log_path

    @property
    def bootstrap_path(self) -> Path:
        """The file that Envoy is started with."""
        return self.directory / BOOTSTRAP

    def generate(self, snapshot: Snapshot) -> Resources:
        """Return the snapshot's resources as they will stand in this directory. Raises UnsoundSnapshotError."""
        return generate(snapshot, self._source, access_log_path=self._access_log_path)

    def write_all(self, snapshot: Snapshot) -> Resources:
        """Write everything that Envoy needs to start, and return the resources written."""
        resources = self.generate(snapshot)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_bootstrap(snapshot)
        self.write_descriptors(snapshot)
        self.write_clusters(resources.clusters, resources.endpoints)
        self.write_listeners(resources)
        self.remove_unused(snapshot)
        return resources

    def write_bootstrap(self, snapshot: Snapshot) -> None:
        """Write the part that Envoy reads once."""
        content = bootstrap(self._source, node_id="edge", max_connections=snapshot.limits.max_connections)
        self._write_json(BOOTSTRAP, content)

    def write_descriptors(self, snapshot: Snapshot) -> None:
        """Write the descriptor set under the name of its content."""
        self._write(descriptor_file_name(snapshot.contract), snapshot.contract.descriptors)

    def write_clusters(self, clusters: tuple[Json, ...], endpoints: tuple[Json, ...]) -> None:
        """Write endpoints, then clusters: a new cluster finds its endpoints when it looks for them."""
        for assignment in endpoints:
            name = endpoints_name(assignment["cluster_name"])
            self._write_json(f"{name}.json", discovery_response((assignment,)))
        self._write_json("cds.json", discovery_response(clusters))

    def write_listeners(self, resources: Resources) -> None:
        """Write what listeners refer to, then listeners."""
        if resources.secrets:
            self._write_json(f"{CERTIFICATES}.json", discovery_response(resources.secrets))
        self._write_json("rds.json", discovery_response(resources.routes))
        self._write_json("lds.json", discovery_response(resources.listeners))

    def remove_unused(self, snapshot: Snapshot) -> None:
        """Delete descriptor sets and endpoints that the snapshot does not name."""
        kept = {descriptor_file_name(snapshot.contract)}
        kept |= {f"{endpoints_name(cluster.name)}.json" for cluster in snapshot.clusters}
        for path in self.directory.iterdir():
            if path.name.startswith((_ENDPOINTS_PREFIX, _CONTRACT_PREFIX)) and path.name not in kept:
                path.unlink()

    def _write_json(self, name: str, content: Json) -> None:
        self._write(name, json.dumps(content, indent=1, sort_keys=True).encode())

    def _write(self, name: str, content: bytes) -> None:
        path = self.directory / name
        if path.exists() and path.read_bytes() == content:
            # An unchanged file is left alone, so that Envoy does not load it again.
            return
        beside = self.directory / f".{name}.{os.getpid()}"
        beside.write_bytes(content)
        beside.replace(path)
