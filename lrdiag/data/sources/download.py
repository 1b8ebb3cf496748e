"""Downloads with timeouts and checksums, without output on stdout."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lrdiag.progress import Progress, Stage

PROBE_SECONDS = 6.0  # longest wait for an unreachable host
STALL_SECONDS = 10.0  # a download without data for this long fails

_MEGABYTE = 1_000_000


def keras_home() -> Path:
    """Returns Keras's cache folder, as `keras.utils.get_file` documents it. Without a home folder, it is temporary.

    Example:
        ```python
        keras_home()  # Path("~/.keras"), expanded, unless KERAS_HOME is set
        ```
    """
    folder = os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")
    return Path("/tmp", ".keras") if folder.startswith("~") else Path(folder)


def download(url: str, sha256: str, progress: Progress, *, title: str, megabytes: int) -> Path:
    """Downloads a file into Keras's cache and checks it.

    Example:
        ```python
        path = download("https://example.org/images.tar.gz", "6d95…", Silence(), title="images", megabytes=12)
        ```

    Args:
        url: The address. Proxies of the environment are used.
        sha256: The file's expected digest, hexadecimal.
        progress: The listener. It receives megabytes.
        title: Name of the file for the progress bar.
        megabytes: Size of the file in millions of bytes, for the progress bar.

    Returns:
        The file in Keras's cache.

    Raises:
        OSError: If the host doesn't answer, the download stalls or fails, or the file has another digest.
    """
    _probe(url)
    target = keras_home() / "datasets" / os.path.basename(urllib.parse.urlsplit(url).path)
    try:
        with progress.stage(f"Downloading {title}", megabytes, "MB") as stage, _followed(target, stage):
            return _get_file(url, target, sha256)
    except Exception as error:  # get_file raises bare Exception
        raise OSError(f"the download of {url} failed ({error})") from error


def _get_file(url: str, target: Path, sha256: str) -> Path:
    import keras

    with contextlib.suppress(OSError):  # get_file uses another folder if this one isn't writable
        target.parent.mkdir(parents=True, exist_ok=True)
    # Keras prints its own bar to stdout, which is for results.
    with contextlib.redirect_stdout(io.StringIO()), _socket_timeout():
        path = keras.utils.get_file(
            target.name, url, file_hash=sha256, hash_algorithm="sha256", cache_dir=target.parents[1]
        )
    return Path(path)


def _probe(url: str) -> None:
    """Sends a HEAD request in a thread, because Python's timeouts don't cover name resolution."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
                answers.put(None)
        except Exception as error:  # raised below, in the calling thread
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    host = urllib.parse.urlsplit(url).hostname
    try:
        error = answers.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        raise OSError(f"{host} did not answer within {PROBE_SECONDS:g} seconds") from None
    if error is not None:
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise OSError(f"{host} cannot be reached ({reason})") from error


@contextlib.contextmanager
def _socket_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _followed(target: Path, stage: Stage) -> Iterator[None]:
    """Reports the size of the growing file to `stage`, because get_file only prints to stdout."""
    done = threading.Event()

    def follow() -> None:
        reported, over = 0, False
        while not over:
            over = done.wait(0.2)
            with contextlib.suppress(OSError):  # the file doesn't exist yet, or was moved
                megabytes = target.stat().st_size // _MEGABYTE
                stage.advance(max(0, megabytes - reported))
                reported = max(reported, megabytes)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()
