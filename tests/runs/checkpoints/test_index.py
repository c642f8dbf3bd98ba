"""An index that is damaged, or was changed by someone, is refused."""

import pytest

from labwright.args.errors import UserError
from labwright.runs import CheckpointStore

from .saving import forge, save


@pytest.mark.parametrize(
    "file",
    [
        "../step_00000010.safetensors",
        "/etc/passwd",
        "..",
        "",
        "a/b",
        "index.json",
        "my_copy.safetensors",
        "step_best_ever.safetensors",
        "step_00000010.safetensors\n",
        3,
        None,
    ],
)
def test_an_index_cannot_name_files_elsewhere(store: CheckpointStore, file: object) -> None:
    save(store, 10)
    forge(store, "last", file=file)
    with pytest.raises(UserError, match=r"index\.json is damaged: .* is not a file name of a checkpoint"):
        save(store, 20)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"last": 3}', '{"last": {"file": "x"}}', '{"last": null}', "3"])
def test_a_damaged_index_is_named(store: CheckpointStore, content: str) -> None:
    store.directory.mkdir(parents=True)
    store.index_path.write_text(content)
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        store.read_index()


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "step_00000020.safetensors"},
        {"size": "7"},
        {"size": True},
        {"sha256": None},
        {"step": None},
        {"step": 1.5},
        {"epoch": "1"},
        {"metrics": 3},
        {"score": "low"},
    ],
)
def test_an_index_that_contradicts_itself_is_refused(saved: CheckpointStore, fields: dict[str, object]) -> None:
    forge(saved, "last", **fields)
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        saved.read_index()


def test_an_index_cannot_describe_one_file_in_two_ways(saved: CheckpointStore) -> None:
    forge(saved, "best", **saved.read_index()["last"] | {"sha256": "0" * 64})
    with pytest.raises(UserError, match="describes step_00000030.safetensors in two ways"):
        saved.read_index()
