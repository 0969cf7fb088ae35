"""A web server and a store that speaks like S3, on this machine only; loaded by `pytest_plugins = ["fixtures_servers"]`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from servers import KEY, SECRET, Bucket, Handler, Web

from swath.disk import replies


class _Quiet(ThreadingHTTPServer):
    """A server that says nothing of clients that went away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server of the folder `tmp_path / "web"`."""
    made = Web(tmp_path / "web")
    made.folder.mkdir()
    server = _Quiet(("127.0.0.1", 0), type("Own", (Handler,), {"web": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, so that a silent server is told of soon."""
    monkeypatch.setattr(replies, "PATIENCE", 1)
    monkeypatch.setattr(replies, "CONNECT", 1)


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
