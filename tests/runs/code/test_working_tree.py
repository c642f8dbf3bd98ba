"""The code of a run is its files as they lie there, as far as they are not too large."""

import os
import subprocess
from pathlib import Path

import pytest

from labwright.runs.code import working_tree
from labwright.runs.code.git import Git
from labwright.runs.code.objects import entries_of

from ...repositories import git
from .snapshots import kept, reasons, taken


def test_changed_staged_deleted_and_untracked_files_are_as_they_lie_there(repository: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    git(repository, "add", "train.py")
    (repository / "train.py").write_text("print(3)\n")
    (repository / "model.py").unlink()
    (repository / "new").mkdir()
    (repository / "new" / "layer.py").write_text("untracked")
    assert kept(repository, taken(repository)) == {
        "train.py": ("100644", b"print(3)\n"),
        "new/layer.py": ("100644", b"untracked"),
    }


def test_strange_names_links_and_executables_are_kept(repository: Path) -> None:
    names = ["with space.py", "new\nline.py", 'quo"te.py', "tab\t.py", "größe.py", os.fsdecode(b"latin\xe9.py")]
    for name in names:
        (repository / name).write_text(name.encode("unicode_escape").decode())
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("train.py")
    (repository / "broken").symlink_to("nowhere")
    files = kept(repository, taken(repository))
    assert {*names} <= files.keys()
    assert files["run.sh"] == ("100755", b"#!/bin/sh\n")
    assert files["link"] == ("120000", b"train.py") and files["broken"] == ("120000", b"nowhere")


def test_a_file_and_a_folder_that_changed_places_are_kept(repository: Path) -> None:
    (repository / "parts").mkdir()
    (repository / "parts" / "a.py").write_text("a")
    git(repository, "add", ".")
    (repository / "parts" / "a.py").unlink()
    (repository / "parts").rmdir()
    (repository / "parts").write_text("now a file")
    (repository / "model.py").unlink()
    (repository / "model.py").mkdir()
    (repository / "model.py" / "b.py").write_text("b")
    assert kept(repository, taken(repository)).keys() == {"train.py", "parts", "model.py/b.py"}


def test_a_tracked_folder_replaced_by_a_link_is_a_link(repository: Path, tmp_path: Path) -> None:
    (repository / "parts").mkdir()
    (repository / "parts" / "a.py").write_text("a")
    git(repository, "add", ".")
    (repository / "parts").rename(tmp_path / "parts")
    (repository / "parts").symlink_to(tmp_path / "parts")
    files = kept(repository, taken(repository))
    assert files["parts"] == ("120000", os.fsencode(tmp_path / "parts")) and "parts/a.py" not in files


def test_ignored_files_are_no_code(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.ckpt\n")
    (repository / "weights.ckpt").write_text("0")
    assert "weights.ckpt" not in kept(repository, taken(repository))


def test_bytes_are_those_of_the_working_tree_whatever_git_would_convert(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.txt text\n*.big filter=upper\n*.id ident\n")
    git(repository, "config", "filter.upper.clean", "tr a-z A-Z")
    contents = {"crlf.txt": b"a\r\nb\r\n", "x.big": b"small", "x.id": b"$Id: abc$\n"}
    for name, content in contents.items():
        (repository / name).write_bytes(content)
    git(repository, "add", ".")
    git(repository, "commit", "--message=converted")
    assert git(repository, "show", "HEAD:x.big") == "SMALL"
    files = kept(repository, taken(repository))
    assert {name: files[name][1] for name in contents} == contents


@pytest.mark.parametrize("setting", ["true", "input"])
def test_autocrlf_changes_no_byte(repository: Path, setting: str) -> None:
    git(repository, "config", "core.autocrlf", setting)
    (repository / "dos.py").write_bytes(b"a\r\n")
    git(repository, "add", ".")
    git(repository, "commit", "--message=dos")
    (repository / "new.py").write_bytes(b"b\r\n")
    files = kept(repository, taken(repository))
    assert (files["dos.py"][1], files["new.py"][1]) == (b"a\r\n", b"b\r\n")


def test_a_change_that_git_was_told_not_to_see_is_kept(repository: Path) -> None:
    git(repository, "update-index", "--assume-unchanged", "train.py")
    (repository / "train.py").write_text("my own")
    assert kept(repository, taken(repository))["train.py"][1] == b"my own"


def test_a_change_within_the_clocks_tick_of_git_add_is_kept(repository: Path) -> None:
    git(repository, "add", ".")
    about = (repository / ".git" / "index").stat()
    (repository / "train.py").write_text("print(9)\n")  # as long as before, and as old as git thinks
    os.utime(repository / "train.py", ns=(about.st_mtime_ns, about.st_mtime_ns))
    assert kept(repository, taken(repository))["train.py"][1] == b"print(9)\n"


def test_a_merge_with_conflicts_is_kept_with_its_markers(repository: Path) -> None:
    git(repository, "checkout", "-b", "other")
    (repository / "train.py").write_text("theirs\n")
    git(repository, "commit", "--all", "--message=theirs")
    git(repository, "checkout", "trunk")
    (repository / "train.py").write_text("ours\n")
    git(repository, "commit", "--all", "--message=ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    assert b"<<<<<<<" in kept(repository, taken(repository))["train.py"][1]


def test_a_submodule_counts_as_its_commit(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init")
    git(inner, "commit", "--allow-empty", "--message=a")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "vendored")
    git(repository / "vendored", "commit", "--allow-empty", "--message=b")
    commit = git(repository / "vendored", "rev-parse", "HEAD")
    entries = dict(entries_of(Git(repository), taken(repository).tree))
    assert entries["vendored"] == ("160000", commit)


def test_another_repository_inside_is_named_and_left_alone(repository: Path) -> None:
    (repository / "other").mkdir()
    git(repository / "other", "init")
    git(repository / "other", "commit", "--allow-empty", "--message=a")
    assert reasons(taken(repository)) == {"other/": "a repository of its own"}


def test_large_files_are_left_out_and_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_tree, "MAX_FILE_BYTES", 2**20)
    (repository / "data.npy").write_bytes(bytes(2**20 + 1))
    (repository / "model.py").write_bytes(bytes(2**20 + 1))
    snapshot = taken(repository)
    assert kept(repository, snapshot)["model.py"][1] == b"width = 8\n"
    assert reasons(snapshot) == {
        "data.npy": "larger than 1 MB",
        "model.py": "larger than 1 MB; kept as committed",
    }


@pytest.mark.parametrize("limit", [("MAX_TOTAL_BYTES", 250), ("MAX_FILES", 2)])
def test_where_not_all_fits_code_comes_first(
    repository: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
) -> None:
    monkeypatch.setattr(working_tree, *limit)
    (repository / "large.py").write_bytes(b"1" * 200)
    for number in range(3):
        (repository / f"{number}.csv").write_bytes(b"%d" % number * 40)
    snapshot = taken(repository)
    assert kept(repository, snapshot).keys() == {"train.py", "model.py", "large.py", "0.csv"}
    assert reasons(snapshot).keys() == {"1.csv", "2.csv"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(repository: Path) -> None:
    (repository / "locked.py").touch(0)
    assert reasons(taken(repository)) == {"locked.py": "cannot be read: Permission denied"}
