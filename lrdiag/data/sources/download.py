"""Downloads that never hang, never leave half a file behind for whole, and keep standard output clean."""

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

PROBE_SECONDS = 6.0  # an unreachable host costs this much and no more
STALL_SECONDS = 10.0  # a download that delivers nothing for so long is broken off

_MEGABYTE = 1_000_000


def keras_home() -> Path:
    """The folder in which Keras keeps what it downloads, as `keras.utils.get_file` documents it.

    Example:
        ```python
        keras_home()  # Path("~/.keras"), expanded, unless KERAS_HOME says otherwise
        ```
    """
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def download(url: str, sha256: str, progress: Progress, *, title: str, megabytes: int) -> Path:
    """Downloads a file into Keras's cache and checks it.

    Example:
        ```python
        path = download("https://example.org/images.tar.gz", "6d95…", Silence(), title="images", megabytes=12)
        ```

    Args:
        url: The address; proxies of the environment are honoured.
        sha256: The hexadecimal digest that the file must have.
        progress: Is told how many megabytes have come.
        title: What is downloaded, for the progress bar.
        megabytes: How large the file is, in millions of bytes, for the progress bar.

    Returns:
        The file in Keras's cache.

    Raises:
        OSError: If the host does not answer, the download stalls or breaks off, or the file has another digest.
    """
    _probe(url)
    target = keras_home() / "datasets" / os.path.basename(urllib.parse.urlsplit(url).path)
    try:
        with progress.stage(f"Downloading {title}", megabytes, "MB") as stage, _followed(target, stage):
            return _get_file(url, target, sha256)
    except Exception as error:  # get_file raises bare Exception
        raise OSError(f"the download of {url} broke off ({error})") from error


def _get_file(url: str, target: Path, sha256: str) -> Path:
    import keras

    with contextlib.suppress(OSError):  # get_file goes elsewhere where it may not write
        target.parent.mkdir(parents=True, exist_ok=True)
    # Keras draws its own bar on standard output, where the caller's results belong.
    with contextlib.redirect_stdout(io.StringIO()), _socket_timeout():
        path = keras.utils.get_file(
            target.name, url, file_hash=sha256, hash_algorithm="sha256", cache_dir=target.parents[1]
        )
    return Path(path)


def _probe(url: str) -> None:
    """Asks for the head of `url`, in a thread: no timeout of Python's reaches a name server that does not answer."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
                answers.put(None)
        except Exception as error:  # whatever it is, it is told where it can be handled
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
    """Tells `stage` how the file grows, since get_file tells nobody but standard output."""
    done = threading.Event()

    def follow() -> None:
        told, over = 0, False
        while not over:
            over = done.wait(0.2)
            with contextlib.suppress(OSError):  # the file may not be there yet, or not any more
                megabytes = target.stat().st_size // _MEGABYTE
                stage.advance(max(0, megabytes - told))
                told = max(told, megabytes)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()
