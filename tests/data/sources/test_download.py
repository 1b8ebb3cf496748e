import contextlib
import hashlib
import http.server
import socket
import threading
import time
import urllib.request

import pytest

from lrdiag.data.sources import download as room
from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.data.sources.download import download
from lrdiag.errors import DataUnavailable

NAME = "cifar-10-python.tar.gz"


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """Connects to local servers without the proxy of the environment, which urllib would cache."""
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def serve(body: bytes, *, sent: int | None = None, then: str = "close", status: int = 200):
    """A server that announces `body`, sends `sent` bytes of it, and then closes or stalls."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            with contextlib.suppress(OSError):
                self.wfile.write(body[:sent])
                self.wfile.flush()
                if then == "stall":
                    over.wait(30)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{NAME}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def archive(tmp_path, write_archive, monkeypatch) -> bytes:
    data = write_archive(tmp_path / "served.tar.gz").read_bytes()
    monkeypatch.setattr("lrdiag.data.sources.cifar10.SHA256", hashlib.sha256(data).hexdigest())
    return data


def test_a_downloaded_file_is_read_and_kept(archive, keras_home, progress, monkeypatch, capsys):
    with serve(archive) as url:
        monkeypatch.setattr("lrdiag.data.sources.cifar10.URL", url)
        assert len(Cifar10().load(progress).train) == 20
    assert progress.stages[0] == ("Downloading CIFAR-10", 170, "MB")
    assert (keras_home / "datasets" / NAME).read_bytes() == archive
    assert len(Cifar10().load(progress).train) == 20, "the second run needs no server"
    assert capsys.readouterr().out == ""


def test_progress_counts_megabytes(progress):
    body = bytes(3_400_000)
    with serve(body) as url:
        download(url, hashlib.sha256(body).hexdigest(), progress, title="zeros", megabytes=3)
    assert progress.stages == [("Downloading zeros", 3, "MB")]
    assert progress.steps == 3


@pytest.mark.parametrize("then", ["close", "stall"])
def test_an_interrupted_download_leaves_no_file(archive, keras_home, progress, monkeypatch, then):
    monkeypatch.setattr(room, "STALL_SECONDS", 0.5)
    with serve(archive, sent=len(archive) // 2, then=then) as url:
        monkeypatch.setattr("lrdiag.data.sources.cifar10.URL", url)
        with pytest.raises(DataUnavailable, match="failed"):
            Cifar10().load(progress)
    assert list((keras_home / "datasets").iterdir()) == []
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_a_killed_download_is_started_again(archive, keras_home, progress, monkeypatch, kept):
    """get_file writes under the final name, so after kill -9 the file there is incomplete."""
    target = keras_home / "datasets" / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(archive[:kept])
    with serve(archive) as url:
        monkeypatch.setattr("lrdiag.data.sources.cifar10.URL", url)
        assert len(Cifar10().load(progress).train) == 20
    assert target.read_bytes() == archive


def test_an_unexpected_file_is_refused(archive, progress):
    with serve(archive) as url, pytest.raises(OSError, match="hash does not match"):
        download(url, "0" * 64, progress, title="archive", megabytes=1)


def test_an_http_error_is_an_error(progress):
    with serve(b"", status=404) as url, pytest.raises(OSError, match=r"127\.0\.0\.1 cannot be reached .*404"):
        download(url, "0" * 64, progress, title="archive", megabytes=1)


def test_a_silent_host_fails_after_the_deadline(progress, monkeypatch):
    monkeypatch.setattr(room, "PROBE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}"
        start = time.monotonic()
        with pytest.raises(OSError, match=r"127\.0\.0\.1 (did not answer within 0.5 seconds|cannot be reached)"):
            download(url, "0" * 64, progress, title="archive", megabytes=1)
    assert time.monotonic() - start < 3


def test_a_silent_name_server_fails_after_the_deadline(progress, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(room, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    start = time.monotonic()
    with pytest.raises(OSError, match=r"example\.org did not answer within 0\.5 seconds"):
        download(f"http://example.org/{NAME}", "0" * 64, progress, title="archive", megabytes=1)
    assert time.monotonic() - start < 3
    over.set()


def test_the_deadline_is_at_most_ten_seconds():
    assert room.PROBE_SECONDS <= 8


def test_a_proxy_is_used(progress, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(OSError, match="refused"):
        download(f"http://example.org/{NAME}", "0" * 64, progress, title="archive", megabytes=1)
