"""An Envoy that gets its configuration over a stream from the control plane: its files are a bootstrap and logs."""

import json
from pathlib import Path
from typing import Final

from gateway.app.generator import Discovery, streamed_bootstrap
from gateway.effects.envoy_admin import EnvoyAdmin
from gateway.effects.envoy_supervisor import EnvoyError, ProcessLimits, SupervisedEnvoy


class StreamedEnvoy(SupervisedEnvoy):
    """One supervised Envoy beside the control plane that it listens to."""

    def __init__(
        self,
        config_dir: Path,
        discovery: Discovery,
        *,
        node_id: str = "edge",
        max_connections: int,
        binary: Path | None = None,
        access_log_path: str | None = None,
        limits: ProcessLimits | None = None,
    ) -> None:
        super().__init__(config_dir, binary=binary, access_log_path=access_log_path, limits=limits)
        self._bootstrap: Final = streamed_bootstrap(discovery, node_id=node_id, max_connections=max_connections)

    def _prepare(self) -> None:
        self.config_dir.mkdir(parents=True, exist_ok=True)
        self.bootstrap_path.write_text(json.dumps(self._bootstrap, indent=1, sort_keys=True))

    async def _is_serving(self, admin: EnvoyAdmin) -> bool:
        taken = await admin.taken()
        if taken.refused:
            raise EnvoyError(await self._explained("Envoy refuses its configuration"))
        return bool(taken.listeners_version and taken.routes_version) and not taken.warming_listeners
