"""The code of a snapshot comes back with every byte and mode."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs.code.restore import checkout_snapshot, export_snapshot, repository_of
from labwright.runs.code.snapshot import Snapshot, code_differs, take_snapshot

from ...repositories import forget_settings, git, new_repository

RUN = "2026-01-31_12-00-00_ab12"


def taken(folder: Path) -> Snapshot:
    snapshot = take_snapshot(folder, RUN)
    assert snapshot is not None
    return snapshot


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two committed files."""
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "lab", {"train.py": "print(1)\n", "model.py": "width = 8\n"})


def look(folder: Path) -> dict[str, tuple[str, bytes | str]]:
    """Every file below a folder: its kind, and its content or what it points to."""
    found: dict[str, tuple[str, bytes | str]] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if name.split("/")[0] == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        mode = path.lstat().st_mode
        is_link = stat.S_ISLNK(mode)
        found[name] = ("link", os.readlink(path)) if is_link else (f"{mode & 0o111:o}", path.read_bytes())
    return found


@pytest.fixture
def dirty(repository: Path) -> Path:
    """A repository full of what is hard to restore."""
    git(repository, "config", "core.autocrlf", "true")
    (repository / ".gitattributes").write_text("*.txt text eol=crlf\n*.big filter=upper\n")
    git(repository, "config", "filter.upper.clean", "tr a-z A-Z")
    git(repository, "config", "filter.upper.smudge", "tr A-Z a-z")
    (repository / "unix.txt").write_bytes(b"a\nb\n")
    (repository / "Mixed.big").write_bytes(b"MiXeD")
    git(repository, "add", ".")
    git(repository, "commit", "--message=attributes")
    (repository / "train.py").write_bytes(b"changed\r\nand mixed\n")
    (repository / "model.py").unlink()
    deep = repository / "new" / "größe"
    deep.mkdir(parents=True)
    (deep / "a b\nc.py").write_text("untracked")
    (deep / os.fsdecode(b"latin\xe9.bin")).write_bytes(bytes(range(256)) * 3000)
    (repository / "empty").touch()
    (repository / "run.sh").touch(0o755)
    (repository / "up").symlink_to("../elsewhere")
    return repository


class TestCheckout:
    def test_every_file_comes_back_untracked_ones_included(self, dirty: Path, tmp_path: Path) -> None:
        snapshot, before = taken(dirty), look(dirty)
        branches = git(dirty, "for-each-ref")
        (dirty / "train.py").write_text("lost")
        shutil.rmtree(dirty / "new")
        assert checkout_snapshot(dirty, snapshot.commit, tmp_path / "again") == []
        assert look(tmp_path / "again") == before
        assert git(dirty, "for-each-ref") == branches

    def test_it_is_a_worktree_in_which_nothing_is_changed(self, repository: Path, tmp_path: Path) -> None:
        (repository / "new.py").write_text("new")
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        hook = repository / ".git" / "hooks" / "post-checkout"
        hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/executed'\n")
        hook.chmod(0o755)
        snapshot = taken(repository)
        checkout_snapshot(repository, snapshot.commit, tmp_path / "again")
        assert git(tmp_path / "again", "rev-parse", "HEAD") == snapshot.commit
        assert git(tmp_path / "again", "status", "--porcelain") == ""
        assert code_differs(tmp_path / "again", snapshot.tree) == []
        assert not (tmp_path / "executed").exists()

    def test_an_empty_folder_will_do_and_a_full_one_is_refused(self, dirty: Path, tmp_path: Path) -> None:
        snapshot = taken(dirty)
        (tmp_path / "empty").mkdir()
        checkout_snapshot(dirty, snapshot.commit, tmp_path / "empty")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "precious").touch()
        for target in (tmp_path / "full", tmp_path / "full" / "precious"):
            with pytest.raises(UserError, match="is not empty"):
                checkout_snapshot(dirty, snapshot.commit, target)
        assert look(tmp_path / "full").keys() == {"precious"}

    def test_where_it_fails_nothing_is_left(self, dirty: Path, tmp_path: Path) -> None:
        snapshot = taken(dirty)
        oid = git(dirty, "rev-parse", f"{snapshot.commit}:run.sh")
        (dirty / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
        with pytest.raises(UserError, match="lost the object"):
            checkout_snapshot(dirty, snapshot.commit, tmp_path / "again")
        assert not (tmp_path / "again").exists() and str(tmp_path / "again") not in git(dirty, "worktree", "list")

    def test_submodules_come_back_where_their_commit_is_at_hand(
        self,
        repository: Path,
        tmp_path: Path,
    ) -> None:
        inner = tmp_path / "inner"
        inner.mkdir()
        git(inner, "init")
        (inner / "part.py").write_text("part")
        git(inner, "add", ".")
        git(inner, "commit", "--message=a")
        git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "vendored")
        snapshot = taken(repository)
        assert checkout_snapshot(repository, snapshot.commit, tmp_path / "with") == []
        assert (tmp_path / "with" / "vendored" / "part.py").read_text() == "part"
        shutil.rmtree(repository / "vendored")
        assert checkout_snapshot(repository, snapshot.commit, tmp_path / "without") == ["vendored"]

    @pytest.mark.parametrize("name", ["../evil.py", ".git/hooks/x", "a/../../evil.py"])
    def test_a_tree_made_to_write_elsewhere_is_refused(self, repository: Path, tmp_path: Path, name: str) -> None:
        oid = git(repository, "rev-parse", "HEAD:train.py")
        commit = _commit_of(repository, name.split("/"), oid)
        with pytest.raises(UserError):
            checkout_snapshot(repository, commit, tmp_path / "again")
        assert not (tmp_path / "evil.py").exists() and not (tmp_path / "again").exists()


def _commit_of(repository: Path, parts: list[str], oid: str) -> str:
    """A commit with a tree that git itself would never make."""
    mode = b"100644"
    for part in reversed(parts):
        content = mode + b" " + part.encode() + b"\0" + bytes.fromhex(oid)
        command = ["git", "-C", str(repository), "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
        oid = subprocess.run(command, input=content, capture_output=True, check=True).stdout.decode().strip()
        mode = b"40000"
    return git(repository, "commit-tree", "-m", "evil", oid)


class TestExport:
    def test_it_is_made_once_and_checked_after_that(self, dirty: Path, tmp_path: Path) -> None:
        snapshot, expected = taken(dirty), look(dirty)
        target = tmp_path / "cache" / snapshot.tree
        for damage in (None, "changed", "deleted", "added"):
            if damage == "changed":
                (target / "train.py").write_text("changed")
            if damage == "deleted":
                (target / "run.sh").unlink()
            if damage == "added":
                (target / "torch.py").touch()
            export_snapshot(dirty, snapshot.commit, target)
            assert look(target) == expected
        number = target.stat().st_ino
        export_snapshot(dirty, snapshot.commit, target)
        assert target.stat().st_ino == number
        assert [path.name for path in target.parent.iterdir()] == [snapshot.tree]

    def test_a_place_that_cannot_be_written_is_named(self, dirty: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="cannot be restored in .*file/x"):
            export_snapshot(dirty, taken(dirty).commit, tmp_path / "file" / "x")


class TestRepository:
    def test_one_that_moved_is_found_where_the_command_is_typed(self, dirty: Path, tmp_path: Path) -> None:
        snapshot = taken(dirty)
        assert repository_of(snapshot) == dirty
        dirty.rename(tmp_path / "moved")
        assert repository_of(snapshot, tmp_path, tmp_path / "moved") == tmp_path / "moved"
        with pytest.raises(UserError, match="if the repository moved, do this inside it"):
            repository_of(snapshot, tmp_path)

    def test_the_repository_of_a_worktree_that_is_gone_still_has_it(self, repository: Path, tmp_path: Path) -> None:
        git(repository, "worktree", "add", "--detach", str(tmp_path / "linked"))
        (tmp_path / "linked" / "new.py").write_text("new")
        snapshot = taken(tmp_path / "linked")
        git(repository, "worktree", "remove", "--force", str(tmp_path / "linked"))
        checkout_snapshot(repository_of(snapshot), snapshot.commit, tmp_path / "again")
        assert (tmp_path / "again" / "new.py").read_text() == "new"
