"""A small OpenID Connect issuer that answers over HTTP: discovery, keys, and tokens that it signs."""

import json
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa


class OutsideIssuer:
    """Listens on a free loopback port, from the start to the stop."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"rsa-1": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.fetched: list[str] = []
        self.broken = False
        self.named: str | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetched.append(self.path)
                document = issuer.document(self.path)
                status = 503 if issuer.broken else 200 if document is not None else 404
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def document(self, path: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.named or self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return {"keys": [self._public(kid, key) for kid, key in self.keys.items()]}
        return None

    def add_ec_key(self, kid: str) -> None:
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def token(
        self, user_id: str, now: datetime, *, kid: str = "rsa-1", key: Any = None, seconds: float = 300.0, **claims: Any
    ) -> str:
        found = {
            "iss": self.url,
            "aud": "flowloom-client",
            "sub": user_id,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=seconds)).timestamp()),
        }
        found |= claims
        private = key or self.keys[kid]
        algorithm = "RS256" if isinstance(private, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(
            {name: value for name, value in found.items() if value is not None},
            private,
            algorithm=algorithm,
            headers={"kid": kid},
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def _public(kid: str, key: Any) -> dict[str, Any]:
        algorithm: Any = (
            jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        found: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
        return found | {"kid": kid, "use": "sig"}
