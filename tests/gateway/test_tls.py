"""TLS at the edge: REST and gRPC over it, and a certificate that is replaced while requests go on."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.model.policies import Tls
from gateway.model.snapshot import Listener
from mesh.testing.ports import free_port
from tests.gateway.edges import opened, until
from tests.gateway.sample_service import SERVICE
from tests.gateway.streamed import streamed

pytestmark = pytest.mark.envoy

ITEM = "/process-api/items/7"


class Certificate:
    """A self-signed certificate for localhost in two files, which `replace` exchanges."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.tls = Tls(certificate_path=str(folder / "tls.crt"), key_path=str(folder / "tls.key"))
        self.serial = 0
        self.pem = b""
        self.replace()

    def replace(self) -> None:
        """Write a new pair, each file by rename."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - certificates live by the real clock
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.serial = made.serial_number
        pem = made.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for path, content in ((self.tls.key_path, private), (self.tls.certificate_path, pem)):
            beside = Path(path + ".new")
            beside.write_bytes(content)
            beside.replace(path)
        self.pem = pem


@contextlib.asynccontextmanager
async def an_edge(directory: Path, manner: str, port: int, listener: Listener) -> AsyncIterator[None]:
    if manner == "files":
        async with opened(directory, port, listener=listener):
            yield
    else:
        async with streamed(directory, delta=True, port=port, listener=listener, answers=False):
            yield


@pytest.mark.parametrize("manner", ["files", "stream"])
async def test_a_certificate_is_replaced_while_requests_go_on(tmp_path: Path, manner: str) -> None:
    certificate, port = Certificate(tmp_path / "tls"), free_port()
    first = certificate.serial
    async with an_edge(tmp_path / "edge", manner, port, Listener(port=port, tls=certificate.tls)):
        trusted = ssl.create_default_context(cadata=certificate.pem.decode())
        async with httpx.AsyncClient(
            base_url=f"https://localhost:{port}", verify=trusted, timeout=30, trust_env=False
        ) as client:
            await until(lambda: _answers(client))
            credentials = grpc.ssl_channel_credentials(certificate.pem)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                native = await channel.unary_unary(f"/{SERVICE}/Get")(b"", timeout=30)
            plain = httpx.AsyncClient(trust_env=False)
            with pytest.raises(httpx.TransportError):
                await plain.get(f"http://localhost:{port}{ITEM}")
            await plain.aclose()

            assert await _serial(port) == first
            await asyncio.to_thread(certificate.replace)
            await until(lambda: _has_serial(port, certificate.serial))
            # The connection from before the change goes on.
            again = await client.get(ITEM)

    assert native
    assert again.status_code == 200


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get(ITEM)).status_code == 200
    except httpx.TransportError:
        return False


async def _has_serial(port: int, serial: int) -> bool:
    return await _serial(port) == serial


async def _serial(port: int) -> int:
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number
