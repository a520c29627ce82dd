"""Envoy's resources from protobuf's JSON into its messages, by the types of `envoy-data-plane`."""

import importlib
import warnings
from typing import Any, Final

Json = dict[str, Any]

_TYPES: Final = "envoy_data_plane."
_TYPED_STRUCT: Final = "type.googleapis.com/xds.type.v3.TypedStruct"


class ResourceEncoder:
    """Loads the modules of the types that it meets, when it meets them: all together would take seconds.

    An extension whose type the package does not have travels as a `TypedStruct`, which Envoy reads by its own types.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __call__(self, resource: Json) -> bytes:
        """Return the message. Raises ValueError for a type or a field that Envoy does not have."""
        kind = self._load(resource["@type"])
        if kind is None:
            raise ValueError(f"expected a type of Envoy's, found {resource['@type']}")
        try:
            return bytes(
                kind.from_dict({name: self._known_types(each) for name, each in resource.items() if name != "@type"})
            )
        except (KeyError, TypeError, ValueError, AttributeError) as wrong:
            raise ValueError(f"expected a resource of type {resource['@type']}, found: {wrong}") from wrong

    def _known_types(self, part: Any) -> Any:
        if isinstance(part, dict):
            url = part.get("@type")
            if url is not None and self._load(url) is None:
                value = {name: each for name, each in part.items() if name != "@type"}
                importlib.import_module("gateway.effects.typed_struct")
                return {"@type": _TYPED_STRUCT, "type_url": url, "value": value}
            return {name: self._known_types(each) for name, each in part.items()}
        return [self._known_types(each) for each in part] if isinstance(part, (list, tuple)) else part

    def _load(self, url: str) -> Any:
        """Return the class of a type, or None if the package has none."""
        if url not in self._known:
            package, _, name = url.rpartition("/")[2].rpartition(".")
            try:
                with warnings.catch_warnings():
                    # The package's own use of pydantic is dated.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    self._known[url] = getattr(importlib.import_module(_TYPES + package), name)
            except (ImportError, AttributeError):
                self._known[url] = None
        return self._known[url]
