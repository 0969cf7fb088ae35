"""A web server and a store that speaks like S3, on this machine only; loaded by `pytest_plugins = ["fixtures_servers"]`."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from servers import KEY, SECRET, Bucket, Handler, Web


class _Quiet(ThreadingHTTPServer):
    """A server that says nothing of clients that went away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing on standard error."""


def serving(folder: Path, context: ssl.SSLContext | None) -> Iterator[Web]:
    """A server of a new folder, over https where a context is given."""
    made = Web(folder)
    made.folder.mkdir()
    server = _Quiet(("127.0.0.1", 0), type("Own", (Handler,), {"web": made}))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server of the folder `tmp_path / "web"`."""
    yield from serving(tmp_path / "web", None)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Web]:
    """A server of the folder `tmp_path / "secure"` over https, with a certificate of its own: `tmp_path / "ca.pem"`."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed: pip install 'swath[dev]'")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "swath tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    yield from serving(tmp_path / "secure", context)


@pytest.fixture(scope="session")
def store_url() -> Iterator[str]:
    """The address of a store that speaks like S3."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'swath[dev]'")
    made = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def bucket(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, with credentials in the environment and none elsewhere."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": store_url,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    name = f"bucket-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    client.create_bucket(Bucket=name)
    return Bucket(name, client)
