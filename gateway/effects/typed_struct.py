"""`xds.type.v3.TypedStruct`, which `envoy-data-plane` leaves out: an extension by the name of its type, as JSON.

Imported only where a control plane runs: what it imports takes a second to load.
"""

import dataclasses

import betterproto2
from envoy_data_plane.google.protobuf import Struct
from envoy_data_plane.message_pool import default_message_pool


@dataclasses.dataclass(eq=False, repr=False)
class TypedStruct(betterproto2.Message):
    """Envoy looks the type up among its own and reads the value as that type's JSON."""

    type_url: "str" = betterproto2.field(1, betterproto2.TYPE_STRING)  # noqa: RUF009 - the package's way
    value: "Struct | None" = betterproto2.field(2, betterproto2.TYPE_MESSAGE, optional=True)  # noqa: RUF009


default_message_pool.register_message("xds.type.v3", "TypedStruct", TypedStruct)
