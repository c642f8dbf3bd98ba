"""A run's code is kept as it was, and nothing of its user's changes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.code import snapshot as module
from labwright.runs.code.git import Git, GitError
from labwright.runs.code.snapshot import (
    Snapshot,
    code_differs,
    diff_trees,
    drop_snapshot,
    entries_of,
    list_snapshots,
    object_id,
    take_snapshot,
)
from labwright.shards import ShardWriter

from ...repositories import forget_settings, git, new_repository

RUN = "2026-01-31_12-00-00_ab12"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two committed files, on the branch `trunk`."""
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "lab", {"train.py": "print(1)\n", "model.py": "width = 8\n"})


def taken(folder: Path, run_id: str = RUN, **options: Any) -> Snapshot:
    complaints: list[str] = []
    found = take_snapshot(folder, run_id, warn=complaints.append, **options)
    assert found is not None and complaints == []
    return found


def kept(repository: Path, snapshot: Snapshot) -> dict[str, tuple[str, bytes]]:
    """Mode and content of every path in the snapshot."""
    return {
        path: (entry.mode, b"" if entry.mode == "160000" else read(repository, entry.oid))
        for path, entry in entries_of(Git(repository), snapshot.tree)
    }


def read(repository: Path, oid: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(repository), "cat-file", "blob", oid], capture_output=True, check=True
    ).stdout


def reasons(snapshot: Snapshot) -> dict[str, str]:
    return {each["path"]: each["reason"] for each in snapshot.skipped}


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


class TestWhatIsKept:
    def test_changed_staged_deleted_and_untracked_files_are_as_they_lie_there(self, repository: Path) -> None:
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

    def test_strange_names_links_and_executables_are_kept(self, repository: Path) -> None:
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

    def test_a_file_and_a_folder_that_changed_places_are_kept(self, repository: Path) -> None:
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

    def test_a_tracked_folder_replaced_by_a_link_is_a_link(self, repository: Path, tmp_path: Path) -> None:
        (repository / "parts").mkdir()
        (repository / "parts" / "a.py").write_text("a")
        git(repository, "add", ".")
        (repository / "parts").rename(tmp_path / "parts")
        (repository / "parts").symlink_to(tmp_path / "parts")
        files = kept(repository, taken(repository))
        assert files["parts"] == ("120000", os.fsencode(tmp_path / "parts")) and "parts/a.py" not in files

    def test_ignored_files_are_no_code(self, repository: Path) -> None:
        (repository / ".gitignore").write_text("*.ckpt\n")
        (repository / "weights.ckpt").write_text("0")
        assert "weights.ckpt" not in kept(repository, taken(repository))

    def test_bytes_are_those_of_the_working_tree_whatever_git_would_convert(self, repository: Path) -> None:
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
    def test_autocrlf_changes_no_byte(self, repository: Path, setting: str) -> None:
        git(repository, "config", "core.autocrlf", setting)
        (repository / "dos.py").write_bytes(b"a\r\n")
        git(repository, "add", ".")
        git(repository, "commit", "--message=dos")
        (repository / "new.py").write_bytes(b"b\r\n")
        files = kept(repository, taken(repository))
        assert (files["dos.py"][1], files["new.py"][1]) == (b"a\r\n", b"b\r\n")

    def test_a_change_that_git_was_told_not_to_see_is_kept(self, repository: Path) -> None:
        git(repository, "update-index", "--assume-unchanged", "train.py")
        (repository / "train.py").write_text("my own")
        assert kept(repository, taken(repository))["train.py"][1] == b"my own"

    def test_a_change_within_the_clocks_tick_of_git_add_is_kept(self, repository: Path) -> None:
        git(repository, "add", ".")
        about = (repository / ".git" / "index").stat()
        (repository / "train.py").write_text("print(9)\n")  # as long as before, and as old as git thinks
        os.utime(repository / "train.py", ns=(about.st_mtime_ns, about.st_mtime_ns))
        assert kept(repository, taken(repository))["train.py"][1] == b"print(9)\n"

    def test_a_merge_with_conflicts_is_kept_with_its_markers(self, repository: Path) -> None:
        git(repository, "checkout", "-b", "other")
        (repository / "train.py").write_text("theirs\n")
        git(repository, "commit", "--all", "--message=theirs")
        git(repository, "checkout", "trunk")
        (repository / "train.py").write_text("ours\n")
        git(repository, "commit", "--all", "--message=ours")
        with pytest.raises(subprocess.CalledProcessError):
            git(repository, "merge", "other")
        assert b"<<<<<<<" in kept(repository, taken(repository))["train.py"][1]

    def test_a_submodule_counts_as_its_commit(self, repository: Path, tmp_path: Path) -> None:
        inner = tmp_path / "inner"
        inner.mkdir()
        git(inner, "init")
        git(inner, "commit", "--allow-empty", "--message=a")
        git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "vendored")
        git(repository / "vendored", "commit", "--allow-empty", "--message=b")
        commit = git(repository / "vendored", "rev-parse", "HEAD")
        entries = dict(entries_of(Git(repository), taken(repository).tree))
        assert entries["vendored"] == ("160000", commit)

    def test_another_repository_inside_is_named_and_left_alone(self, repository: Path) -> None:
        (repository / "other").mkdir()
        git(repository / "other", "init")
        git(repository / "other", "commit", "--allow-empty", "--message=a")
        assert reasons(taken(repository)) == {"other/": "a repository of its own"}


class TestWhatIsLeftOut:
    @pytest.mark.parametrize(
        "name",
        [".env", ".env.local", ".ENV", "deploy/server.pem", "id_rsa", "id_ed25519.pub", "tls.key", ".netrc"]
        + ["credentials.json", ".aws/config", "secrets.yaml", ".env/bin/python"],
    )
    def test_an_untracked_file_that_may_hold_a_secret_never_reaches_git(self, repository: Path, name: str) -> None:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("hunter2")
        snapshot = taken(repository)
        assert name not in kept(repository, snapshot)
        [(path, reason)] = reasons(snapshot).items()
        assert name.startswith(path) and reason == "may hold a secret"
        with pytest.raises(subprocess.CalledProcessError):
            read(repository, object_id(b"hunter2", snapshot.commit))

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("config.yaml", "results_dir: results\nwandb_api_key: hunter2hunter2  # mine\n"),
            ("presets/large.json", '{"wandb-api-key" : "hunter2hunter2"}'),
            ("mail.toml", "[mail]\nPassword = 'hunter2hunter2'\n"),
        ],
    )
    def test_settings_with_a_key_in_them_never_reach_git(self, repository: Path, name: str, text: str) -> None:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("epochs: 1\n")
        git(repository, "add", name)
        git(repository, "commit", "--message=settings")
        (repository / name).write_text(text)
        (repository / f"untracked-{Path(name).name}").write_text(text)
        snapshot = taken(repository)
        assert kept(repository, snapshot)[name][1] == b"epochs: 1\n"
        assert reasons(snapshot) == {
            name: "may hold a secret; kept as committed",
            f"untracked-{Path(name).name}": "may hold a secret",
        }
        with pytest.raises(subprocess.CalledProcessError):
            read(repository, object_id(text.encode(), snapshot.commit))

    @pytest.mark.parametrize(
        "text",
        [
            "wandb_api_key:\nwandb_project: digits-of-mine\n",
            "wandb_api_key: null  # from wandb.ai/authorize\n",
            "wandb_api_key: ${WANDB_API_KEY}\n",
            'tokens: 123456789\npad_token: "<padding>"\nkey: val/accuracy\n',
        ],
    )
    def test_settings_without_one_are_kept(self, repository: Path, text: str) -> None:
        (repository / "config.yaml").write_text(text)
        assert kept(repository, taken(repository))["config.yaml"][1] == text.encode()

    def test_code_that_is_about_secrets_is_code(self, repository: Path) -> None:
        for name in ("secrets.py", "environment.yaml", "tokenizer.py", "keys.py", "config.yaml"):
            (repository / name).write_text(name)
        assert kept(repository, taken(repository)).keys() >= {"secrets.py", "tokenizer.py", "keys.py", "config.yaml"}

    def test_the_machines_config_beside_pyproject_is_left_out(self, repository: Path) -> None:
        (repository / "pyproject.toml").touch()
        (repository / "config.yaml").write_text("wandb_api_key: hunter2")
        assert reasons(taken(repository)) == {"config.yaml": "may hold a secret"}

    def test_a_committed_file_of_such_a_name_stays_as_committed(self, repository: Path) -> None:
        (repository / ".env").write_text("example")
        git(repository, "add", ".")
        git(repository, "commit", "--message=example")
        assert taken(repository).skipped == []
        (repository / ".env").write_text("hunter2")
        git(repository, "add", ".env")
        (repository / "tls.key").write_text("staged, never committed")
        git(repository, "add", "tls.key")
        snapshot = taken(repository, "later")
        files = kept(repository, snapshot)
        assert files[".env"][1] == b"example" and "tls.key" not in files
        assert reasons(snapshot) == {".env": "may hold a secret; kept as committed", "tls.key": "may hold a secret"}

    def test_large_files_are_left_out_and_named(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
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
        self, repository: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
    ) -> None:
        monkeypatch.setattr(module, *limit)
        (repository / "large.py").write_bytes(b"1" * 200)
        for number in range(3):
            (repository / f"{number}.csv").write_bytes(b"%d" % number * 40)
        snapshot = taken(repository)
        assert kept(repository, snapshot).keys() == {"train.py", "model.py", "large.py", "0.csv"}
        assert reasons(snapshot).keys() == {"1.csv", "2.csv"}

    def test_the_list_of_what_was_left_out_stays_short(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MAX_SKIPPED", 2)
        for number in range(5):
            (repository / f"{number}.pem").touch()
        assert taken(repository).skipped[2:] == [{"path": "...", "reason": "3 more"}]

    def test_results_environments_and_bytecode_are_no_code(self, repository: Path) -> None:
        made = ["out/x.csv", "runs/a/run.json", "runs/a/args.yaml", "runs/a/deep/b.csv", "venv/pyvenv.cfg"]
        for name in [*made, "venv/lib/six.py", "__pycache__/a.pyc", "runs/analysis.py", "output.py"]:
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).touch()
        files = kept(repository, taken(repository, leave_out=[repository / "out", repository]))
        assert files.keys() == {"train.py", "model.py", "runs/analysis.py", "output.py"}

    def test_datasets_in_shards_are_no_code(self, repository: Path) -> None:
        snapshot = taken(repository)
        with ShardWriter(repository / "data" / "pets", fields=["cls"], progress=False) as writer:
            writer.write("train", "cat", {"cls": 0})
        other = repository / "other" / "dataset.json"
        other.parent.mkdir()
        other.write_text('{"format": "mine"}')
        assert code_differs(repository, snapshot.tree) == ["other/dataset.json"]
        assert kept(repository, taken(repository)).keys() == {"train.py", "model.py", "other/dataset.json"}

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read_is_named(self, repository: Path) -> None:
        (repository / "locked.py").touch(0)
        assert reasons(taken(repository)) == {"locked.py": "cannot be read: Permission denied"}


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
        assert after == before and list_snapshots(repository) == {RUN: snapshot.commit}
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
        assert list_snapshots(repository) == {}
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
        assert list_snapshots(tmp_path) == {} and code_differs(repository, "0" * 40) is None
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
        assert list_snapshots(repository) == {RUN: second.commit}
        assert first.commit in git(repository, "log", "--format=%P", "-1", second.commit).split()

    @pytest.mark.parametrize("run_id", ["a b", "..", "x.lock", "-d", "@{0}", "größe", "a/b~1^:?*[", "50%"])
    def test_any_name_of_a_run_directory_will_do(self, repository: Path, run_id: str) -> None:
        snapshot = taken(repository, run_id)
        assert list_snapshots(repository) == {run_id: snapshot.commit}
        drop_snapshot(repository, run_id)
        assert list_snapshots(repository) == {}


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


@given(st.binary(max_size=200))
def test_object_ids_are_those_of_git(content: bytes) -> None:
    expected = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True).stdout
    assert object_id(content, "0" * 40) == expected.decode().strip()
