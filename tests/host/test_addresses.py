"""Addresses of services, as gRPC is told them."""

from __future__ import annotations

import pytest

from host.addresses import addresses_in, channel_target
from mesh.settings import SettingsError


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("identity.mesh:3002", "identity.mesh:3002"),
        ("10.0.0.2:3002", "10.0.0.2:3002"),
        ("10.0.0.2:3002, 10.0.0.3:3002", "ipv4:10.0.0.2:3002,10.0.0.3:3002"),
        ("[::1]:3002,[::2]:3002", "ipv6:[::1]:3002,[::2]:3002"),
    ],
)
def test_a_name_is_left_to_grpc_and_several_addresses_are_told_as_they_are(written: str, told: str) -> None:
    assert channel_target("identity", written) == told


@pytest.mark.parametrize("written", ["one:3002,two:3002", "10.0.0.2:3002,[::1]:3002", "identity", "identity:0", ","])
def test_what_grpc_cannot_call_is_refused_with_its_variable(written: str) -> None:
    with pytest.raises(SettingsError, match="FLOWLOOM_ADDRESS_IDENTITY: expected host:port"):
        channel_target("identity", written)


def test_what_is_not_given_is_not_there() -> None:
    assert addresses_in({"FLOWLOOM_ADDRESS_FORMS": "forms:3003"}) == {"engine": "127.0.0.1:3001", "forms": "forms:3003"}
