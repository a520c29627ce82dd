"""Where Envoy looks for resources: files beside each other, or one stream from the gateway."""

import base64
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.model.contract import Contract

Json = dict[str, Any]


class Source(Protocol):
    """How resources name each other; the resources themselves are the same for both ways of delivery."""

    def config(self, name: str) -> Json:
        """Return an `envoy.config.core.v3.ConfigSource` for the resources kept under `name` (`lds`, `rds`, ...)."""
        ...

    def descriptors(self, contract: Contract) -> Json:
        """Return the transcoder's field that holds or names the descriptor set."""
        ...


def endpoints_name(cluster: str) -> str:
    """Return the name under which the endpoints of a cluster are kept: Envoy wants one file per cluster."""
    return f"eds-{cluster}"


def descriptor_file_name(contract: Contract) -> str:
    """Return the name of the descriptor file; other content has another name."""
    return f"contract-{contract.digest}.pb"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Resources in `<directory>/<name>.json`. The directory is watched, so a file must arrive by rename."""

    directory: str

    def config(self, name: str) -> Json:
        """Return a source that reads one file again when something was renamed into the directory."""
        return {
            "resource_api_version": "V3",
            "path_config_source": {
                "path": f"{self.directory}/{name}.json",
                "watched_directory": {"path": self.directory},
            },
        }

    def descriptors(self, contract: Contract) -> Json:
        """Return the path of the descriptor file."""
        return {"proto_descriptor": f"{self.directory}/{descriptor_file_name(contract)}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """Resources over the aggregated discovery stream; the descriptor set travels inside the listener."""

    def config(self, name: str) -> Json:  # noqa: ARG002 - one stream carries every kind
        """Return the source that means: over the stream that you are on."""
        return {"resource_api_version": "V3", "ads": {}}

    def descriptors(self, contract: Contract) -> Json:
        """Return the descriptor set itself, in base64."""
        return {"proto_descriptor_bin": base64.b64encode(contract.descriptors).decode("ascii")}
