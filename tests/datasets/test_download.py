import hashlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from labwright.datasets.download import DownloadError, download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DEAD = "http://127.0.0.1:1/"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def get(path: Path, *urls: str, **options: Any) -> None:
    download(urls, path, sha256=SHA256, progress=False, **options)


def test_file_arrives_whole_and_alone(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT

    get(tmp_path / "new" / "file", f"{mirror.url}file")

    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "new") == ["file"]


def test_dead_mirror_falls_to_the_next(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT

    get(tmp_path / "file", f"{DEAD}file", f"{mirror.url}missing", f"{mirror.url}file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_broken_connection_is_continued_where_it_ended(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"], mirror.stops_after = CONTENT, 100_000
    with pytest.raises(DownloadError, match="the connection ended after 100,000 of 512,000 bytes"):
        get(tmp_path / "file", f"{mirror.url}file")
    assert not (tmp_path / "file").exists()

    mirror.stops_after = None
    get(tmp_path / "file", f"{mirror.url}file")

    assert mirror.requests[-1] == ("file", "bytes=100000-")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_next_mirror_continues_what_the_first_began(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"], mirror.stops_after = CONTENT, 200_000

    get(tmp_path / "file", *[f"{mirror.url}file"] * 3)

    assert [wanted for _, wanted in mirror.requests] == [None, "bytes=200000-", "bytes=400000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_mirror_that_cannot_continue_starts_afresh(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"], mirror.knows_range = CONTENT, False
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])

    get(tmp_path / "file", f"{mirror.url}file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_complete_part_needs_no_second_transfer(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT
    (tmp_path / "file.part").write_bytes(CONTENT)

    get(tmp_path / "file", f"{mirror.url}file")

    assert mirror.requests == [("file", f"bytes={len(CONTENT)}-")]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_part_of_something_else_is_dropped(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT
    (tmp_path / "file.part").write_bytes(b"an old version")

    get(tmp_path / "file", f"{mirror.url}file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_leaves_nothing(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = b"<html>please log in to this network</html>"

    with pytest.raises(DownloadError, match="127.0.0.1: what came is not the published file"):
        get(tmp_path / "file", f"{mirror.url}file")

    assert os.listdir(tmp_path) == []


def test_endless_answer_is_cut_off(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT

    with pytest.raises(DownloadError, match="it sends more than 1,000 bytes"):
        get(tmp_path / "file", f"{mirror.url}file", max_bytes=1000)


def test_every_failed_mirror_is_named_on_one_line(tmp_path: Path, mirror: Any) -> None:
    with pytest.raises(DownloadError) as caught:
        get(tmp_path / "file", f"{DEAD}file", f"{mirror.url}file")

    message = str(caught.value)
    assert "cannot download file (127.0.0.1: Connection refused; 127.0.0.1: HTTP 404 Not Found)" in message
    assert "\n" not in message


@pytest.mark.parametrize("url", ["http://example.org/file", "file:///etc/hostname", "ftp://example.org/file"])
def test_mirror_without_https_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="instead of https"):
        get(tmp_path / "file", url)


def test_redirect_away_from_https_is_refused(tmp_path: Path, mirror: Any) -> None:
    mirror.redirects_to = "ftp://example.org/file"

    with pytest.raises(DownloadError):
        get(tmp_path / "file", f"{mirror.url}file")


def test_silent_mirrors_share_one_patience(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match="(no answer in 0 s|timed out).*not tried, the time to wait"):
            get(tmp_path / "file", url, url, url, connect_seconds=0.2, patience_seconds=0.3)


def test_unwritable_directory_is_one_clear_line(tmp_path: Path, mirror: Any) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")

    with pytest.raises(DownloadError, match="cannot write .*cache"):
        get(tmp_path / "cache" / "file", f"{mirror.url}file")


def test_two_downloads_at_once_make_one_file(tmp_path: Path, mirror: Any) -> None:
    mirror.files["file"] = CONTENT
    threads = [threading.Thread(target=get, args=(tmp_path / "file", f"{mirror.url}file")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(mirror.requests) == 1


def test_progress_goes_to_stderr(tmp_path: Path, mirror: Any, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.files["file"] = CONTENT

    download([f"{mirror.url}file"], tmp_path / "file", sha256=SHA256)

    assert capsys.readouterr().out == ""
