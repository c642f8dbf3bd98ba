"""Secrets and what programs made are no code."""

import subprocess
from pathlib import Path

import pytest

from labwright.runs.code.objects import object_id
from labwright.runs.code.snapshot import code_differs
from labwright.shards import ShardWriter

from ...repositories import git
from .snapshots import kept, read, reasons, taken


@pytest.mark.parametrize(
    "name",
    [".env", ".env.local", ".ENV", "deploy/server.pem", "id_rsa", "id_ed25519.pub", "tls.key", ".netrc"]
    + ["credentials.json", ".aws/config", "secrets.yaml", ".env/bin/python"],
)
def test_an_untracked_file_that_may_hold_a_secret_never_reaches_git(repository: Path, name: str) -> None:
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
def test_settings_with_a_key_in_them_never_reach_git(repository: Path, name: str, text: str) -> None:
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
def test_settings_without_one_are_kept(repository: Path, text: str) -> None:
    (repository / "config.yaml").write_text(text)
    assert kept(repository, taken(repository))["config.yaml"][1] == text.encode()


def test_code_that_is_about_secrets_is_code(repository: Path) -> None:
    for name in ("secrets.py", "environment.yaml", "tokenizer.py", "keys.py", "config.yaml"):
        (repository / name).write_text(name)
    assert kept(repository, taken(repository)).keys() >= {"secrets.py", "tokenizer.py", "keys.py", "config.yaml"}


def test_the_machines_config_beside_pyproject_is_left_out(repository: Path) -> None:
    (repository / "pyproject.toml").touch()
    (repository / "config.yaml").write_text("wandb_api_key: hunter2")
    assert reasons(taken(repository)) == {"config.yaml": "may hold a secret"}


def test_a_committed_file_of_such_a_name_stays_as_committed(repository: Path) -> None:
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


def test_results_environments_and_bytecode_are_no_code(repository: Path) -> None:
    made = ["out/x.csv", "runs/a/run.json", "runs/a/args.yaml", "runs/a/deep/b.csv", "venv/pyvenv.cfg"]
    for name in [*made, "venv/lib/six.py", "__pycache__/a.pyc", "runs/analysis.py", "output.py"]:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    files = kept(repository, taken(repository, leave_out=[repository / "out", repository]))
    assert files.keys() == {"train.py", "model.py", "runs/analysis.py", "output.py"}


def test_datasets_in_shards_are_no_code(repository: Path) -> None:
    snapshot = taken(repository)
    with ShardWriter(repository / "data" / "pets", fields=["cls"], progress=False) as writer:
        writer.write("train", "cat", {"cls": 0})
    other = repository / "other" / "dataset.json"
    other.parent.mkdir()
    other.write_text('{"format": "mine"}')
    assert code_differs(repository, snapshot.tree) == ["other/dataset.json"]
    assert kept(repository, taken(repository)).keys() == {"train.py", "model.py", "other/dataset.json"}
