"""A run's code is kept as it was, and nothing of its user's changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs.code import snapshot as module
from labwright.runs.code.git import Git, GitError
from labwright.runs.code.objects import entries_of
from labwright.runs.code.snapshot import Snapshot, code_differs, diff_trees, drop_snapshot, take_snapshot

from ...repositories import forget_settings, git, new_repository, snapshots_in
from .snapshots import RUN, kept, taken


def users_state(folder: Path) -> list[object]:
    """All that must not change: what git reports, the files of the repository but objects and ours, and the times."""
    reports = [
        git(folder, "--no-optional-locks", *words)
        for words in (
            ("status", "--porcelain=v2", "--branch"),
            ("stash", "list"),
            ("for-each-ref", "refs/heads", "refs/remotes", "refs/tags", "refs/stash"),
            ("reflog", "--all"),
        )
    ]
    files = {
        path.relative_to(folder): (path.read_bytes(), path.lstat().st_mtime_ns, path.lstat().st_mode)
        for path in folder.rglob("*")
        if path.is_file() and not {"objects", "labwright"} & {*path.relative_to(folder).parts}
    }
    return [*reports, files]


class TestTheUsers:
    def test_branch_index_stash_and_files_are_untouched_and_no_program_is_run(
        self, repository: Path, tmp_path: Path
    ) -> None:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/executed'\nexit 1\n")
        program.chmod(0o755)
        (repository / "model.py").write_text("stashed")
        git(repository, "stash")
        for hook in ("pre-commit", "post-commit", "reference-transaction", "post-index-change", "commit-msg"):
            (repository / ".git" / "hooks").mkdir(exist_ok=True)
            (repository / ".git" / "hooks" / hook).symlink_to(program)
        for setting in ("core.fsmonitor", "gpg.program"):
            git(repository, "config", setting, str(program))
        git(repository, "config", "commit.gpgSign", "true")
        git(repository, "config", "core.logAllRefUpdates", "always")
        (repository / "train.py").write_text("staged")
        (repository / "new.py").write_text("untracked")
        git(repository, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "add", "train.py")
        (repository / "train.py").write_text("and changed again")
        (tmp_path / "executed").unlink(missing_ok=True)
        git(repository, "config", "core.fsmonitor", "false")  # for the comparison alone
        before = users_state(repository)
        git(repository, "config", "core.fsmonitor", str(program))
        snapshot = taken(repository)
        git(repository, "config", "core.fsmonitor", "false")
        after = users_state(repository)
        config = Path(".git/config")
        assert isinstance(before[-1], dict) and isinstance(after[-1], dict)
        assert before[-1].pop(config)[0] == after[-1].pop(config)[0]
        assert after == before and snapshots_in(repository) == {snapshot.ref: snapshot.commit}
        assert not (tmp_path / "executed").exists()

    def test_a_split_index_stays_one_file_and_its_half(self, repository: Path) -> None:
        git(repository, "update-index", "--split-index")
        (repository / "new.py").touch()
        before = {path.name: path.read_bytes() for path in (repository / ".git").glob("*index*")}
        taken(repository)
        assert {path.name: path.read_bytes() for path in (repository / ".git").glob("*index*")} == before
        assert len(before) == 2

    def test_the_commit_is_ours_and_stands_on_theirs(self, repository: Path) -> None:
        snapshot = taken(repository)
        assert snapshot.ref == f"refs/labwright/{RUN}"
        assert git(repository, "log", "-1", "--format=%an|%ce|%P|%s", snapshot.ref).split("|") == [
            "labwright",
            "labwright@localhost",
            git(repository, "rev-parse", "trunk"),
            f"Code of labwright run {RUN}",
        ]
        assert git(repository, "branch", "--all", "--contains", snapshot.commit) == ""

    def test_garbage_collection_spares_it_until_it_is_dropped(self, repository: Path) -> None:
        (repository / "new.py").write_text("precious")
        snapshot = taken(repository)
        git(repository, "gc", "--prune=now", "--quiet")
        assert kept(repository, snapshot)["new.py"][1] == b"precious"
        drop_snapshot(repository, RUN)
        drop_snapshot(repository, RUN)
        assert snapshots_in(repository) == {}
        git(repository, "gc", "--prune=now", "--quiet")
        with pytest.raises(GitError):
            list(entries_of(Git(repository), snapshot.tree))


class TestWhere:
    def test_a_subfolder_means_the_whole_repository(self, repository: Path) -> None:
        (repository / "deep" / "er").mkdir(parents=True)
        (repository / "deep" / "er" / "lab.py").touch()
        snapshot = taken(repository / "deep" / "er")
        assert (snapshot.folder, snapshot.repository) == ("deep/er", str(repository))
        assert kept(repository, snapshot).keys() == {"train.py", "model.py", "deep/er/lab.py"}

    def test_a_linked_worktree_keeps_in_the_repository_that_outlives_it(self, repository: Path, tmp_path: Path) -> None:
        git(repository, "worktree", "add", "--detach", str(tmp_path / "linked"))
        (tmp_path / "linked" / "new.py").touch()
        snapshot = taken(tmp_path / "linked")
        assert snapshot.repository == str(repository) and "new.py" in kept(repository, snapshot)

    def test_a_worktree_of_a_bare_repository_keeps_in_that(self, repository: Path, tmp_path: Path) -> None:
        git(tmp_path, "clone", "--bare", str(repository), "lab.git")
        git(tmp_path / "lab.git", "worktree", "add", "--detach", str(tmp_path / "linked"))
        assert taken(tmp_path / "linked").repository == str(tmp_path / "lab.git")

    def test_a_submodule_is_a_repository_of_its_own(self, repository: Path, tmp_path: Path) -> None:
        new_repository(tmp_path / "inner", {"part.py": "part"})
        git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(tmp_path / "inner"), "vendored")
        snapshot = taken(repository / "vendored")
        assert snapshot.repository == str(repository / "vendored")
        assert kept(repository / "vendored", snapshot).keys() == {"part.py"}

    @pytest.mark.parametrize("form", ["sha1", "sha256"])
    def test_a_repository_without_commits(self, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
        forget_settings(monkeypatch, tmp_path)
        git(tmp_path, "init", f"--object-format={form}", "--initial-branch=anything")
        (tmp_path / "first.py").write_text("1")
        snapshot = taken(tmp_path)
        assert kept(tmp_path, snapshot) == {"first.py": ("100644", b"1")}
        assert git(tmp_path, "log", "--format=%P", snapshot.commit) == ""
        assert code_differs(tmp_path, snapshot.tree) == []

    def test_the_repository_of_a_git_hook_is_not_meant(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        git(tmp_path, "init", "--bare", "other")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
        assert taken(repository).repository == str(repository)
        assert not (tmp_path / "index").exists()

    def test_no_repository_no_git_and_an_ignored_folder_keep_nothing_and_say_nothing(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        complaints: list[str] = []
        (repository / ".gitignore").write_text("ignored/\n")
        (repository / "ignored").mkdir()
        (repository / "ignored" / "x.py").touch()
        git(tmp_path, "init", "--bare", "bare.git")
        for folder in (tmp_path, tmp_path / "missing", tmp_path / "bare.git", repository / "ignored"):
            assert take_snapshot(folder, RUN, warn=complaints.append) is None
        monkeypatch.setenv("PATH", str(tmp_path))
        assert take_snapshot(repository, RUN, warn=complaints.append) is None
        assert complaints == []
        assert code_differs(repository, "0" * 40) is None
        drop_snapshot(tmp_path, RUN)

    def test_a_git_that_hangs_or_fails_is_a_warning(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        complaints: list[str] = []
        (tmp_path / "bin").mkdir()
        fake = tmp_path / "bin" / "git"
        fake.write_text("#!/bin/sh\nread forever < /dev/zero\n")
        fake.chmod(0o755)
        path = os.environ["PATH"]
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr("labwright.runs.code.git.TIMEOUT_SECONDS", 0.2)
        assert take_snapshot(repository, RUN, warn=complaints.append) is None
        fake.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
        assert take_snapshot(repository, RUN, warn=complaints.append) is None
        monkeypatch.setenv("PATH", path)
        assert complaints == [
            f"the code of this run is not kept: git in {repository} did not end within 0.2 s",
            f"the code of this run is not kept: git rev-parse in {repository}: fatal: detected dubious ownership",
        ]


class TestSeveral:
    def test_a_run_that_goes_on_with_other_code_keeps_both(self, repository: Path) -> None:
        first = taken(repository)
        assert taken(repository) == first
        (repository / "train.py").write_text("changed")
        second = taken(repository)
        assert snapshots_in(repository) == {second.ref: second.commit}
        assert first.commit in git(repository, "log", "--format=%P", "-1", second.commit).split()

    @pytest.mark.parametrize("run_id", ["a b", "..", "x.lock", "-d", "@{0}", "größe", "a/b~1^:?*[", "50%"])
    def test_any_name_of_a_run_directory_will_do(self, repository: Path, run_id: str) -> None:
        snapshot = taken(repository, run_id)
        assert snapshots_in(repository) == {snapshot.ref: snapshot.commit}
        drop_snapshot(repository, run_id)
        assert snapshots_in(repository) == {}


class TestDifferences:
    def test_code_differs_names_the_paths_and_writes_nothing(
        self, repository: Path, tree: Callable[[Path], dict[str, bytes]]
    ) -> None:
        (repository / "gone.py").touch()
        snapshot = taken(repository)
        assert code_differs(repository, snapshot.tree) == []
        (repository / "train.py").write_text("changed")
        (repository / "new.py").write_text("new")
        (repository / "model.py").chmod(0o755)
        (repository / "gone.py").unlink()
        before = tree(repository)
        assert code_differs(repository, snapshot.tree) == ["gone.py", "model.py", "new.py", "train.py"]
        assert tree(repository) == before

    def test_a_commit_of_the_same_code_is_no_difference(self, repository: Path) -> None:
        (repository / "new.py").write_text("new")
        snapshot = taken(repository)
        git(repository, "add", ".")
        git(repository, "commit", "--message=now committed")
        assert code_differs(repository, snapshot.tree) == []

    def test_a_tree_that_is_not_there_or_no_id_cannot_be_compared(self, repository: Path) -> None:
        assert code_differs(repository, "1" * 40) is None
        assert code_differs(repository, "--output=/tmp/x") is None

    def test_the_difference_of_two_trees_as_a_table_and_as_a_patch(self, repository: Path) -> None:
        git(repository, "config", "diff.external", "false")
        old = taken(repository, "a").tree
        (repository / "train.py").write_text("print(2)\n")
        new = taken(repository, "b").tree
        assert diff_trees(repository, old, new).splitlines()[0].split() == ["train.py", "|", "2", "+-"]
        assert "-print(1)\n+print(2)\n" in diff_trees(repository, old, new, patch=True)
        assert diff_trees(repository, old, old) == ""
        with pytest.raises(GitError):
            diff_trees(repository, old, "1" * 40)
        with pytest.raises(GitError, match="no id"):
            diff_trees(repository, old, "--output=x")


class TestRecord:
    def test_the_list_of_what_was_left_out_stays_short(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MAX_SKIPPED", 2)
        for number in range(5):
            (repository / f"{number}.pem").touch()
        assert taken(repository).skipped[2:] == [{"path": "...", "reason": "3 more"}]

    def test_it_survives_run_json(self, repository: Path) -> None:
        (repository / "tls.key").touch()
        snapshot = taken(repository)
        assert Snapshot.of({"git": {"branch": "trunk", **snapshot.to_json()}}) == snapshot
        assert snapshot.to_json()["snapshot"] == snapshot.commit

    @pytest.mark.parametrize(
        "git_entry", [None, "x", {}, {"snapshot": None}, {"snapshot": "--evil", "tree": "0" * 40}, {"snapshot": 1}]
    )
    def test_a_record_without_one_has_none(self, git_entry: object) -> None:
        assert Snapshot.of({"git": git_entry}) is None
