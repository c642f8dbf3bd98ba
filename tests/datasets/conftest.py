"""A writer of IDX files, and a web server on this machine to download from."""

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from labwright.datasets.published import MNIST, PublishedSet

WriteIdx = Callable[[Path, np.ndarray], Path]
_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@pytest.fixture
def write_idx() -> WriteIdx:
    """Writes an array as IDX, gzipped where the name says so."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = bytes([0, 0, _CODES[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def write_mnist(write_idx: WriteIdx) -> Callable[..., Path]:
    """Fills a directory with four IDX files of made-up images, 10 classes."""

    def write(directory: Path, *, num_train: int = 200, num_test: int = 40, suffix: str = ".gz") -> Path:
        rng = np.random.default_rng(0)
        for prefix, num_images in (("train", num_train), ("t10k", num_test)):
            pixels = rng.integers(256, size=(num_images, 28, 28), dtype=np.uint8)
            write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", pixels)
            write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(num_images).astype(np.uint8) % 10)
        return directory

    return write


@pytest.fixture
def publish(tmp_path: Path, write_mnist: Callable[..., Path]) -> Callable[[str], tuple[PublishedSet, Path]]:
    """A set of files "published" at a mirror, with their true checksums, and the directory they lie in."""

    def publish(mirror: str) -> tuple[PublishedSet, Path]:
        directory = write_mnist(tmp_path / "published")
        files = []
        for file in MNIST.files:
            content = (directory / f"{file.name}.gz").read_bytes()
            files.append(
                file._replace(
                    sha256=hashlib.sha256(content).hexdigest(),
                    content_sha256=hashlib.sha256(gzip.decompress(content)).hexdigest(),
                )
            )
        published = PublishedSet(
            kind="mnist",
            title="MNIST",
            class_names=MNIST.class_names,
            mean=MNIST.mean,
            std=MNIST.std,
            mirrors=(mirror,),
            files=(files[0], files[1], files[2], files[3]),
        )
        return published, directory

    return publish


@dataclass
class Mirror:
    """A web server for files in memory, with the weaknesses it is told to have."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    knows_range: bool = True
    stops_after: int | None = None
    redirects_to: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name, wanted = request.path.lstrip("/"), request.headers.get("Range")
        self.requests.append((name, wanted))
        if self.redirects_to:
            request.send_response(302)
            request.send_header("Location", self.redirects_to)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if name not in self.files:
            request.send_error(404)
            return
        content, start = self.files[name], 0
        if wanted and self.knows_range:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                request.send_error(416)
                return
        request.send_response(206 if wanted and self.knows_range else 200)
        if wanted and self.knows_range:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.stops_after])


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirrors: list[Mirror] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirrors[0].answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """The test reads `requests` instead."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirrors.append(Mirror(f"http://127.0.0.1:{server.server_address[1]}/"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield mirrors[0]
    server.shutdown()
    server.server_close()
    thread.join()
