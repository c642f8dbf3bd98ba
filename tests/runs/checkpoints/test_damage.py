"""No damaged checkpoint is taken for a whole one."""

import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.runs import CheckpointStore

from .saving import forge, save, whole


class Bomb:
    """Where this is unpickled, a file appears."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.path), "w")


def raw_pickle(content: bytes, marker: Path) -> bytes:
    return pickle.dumps(Bomb(marker))


def zipped_pickle(content: bytes, marker: Path) -> bytes:
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({"model": Bomb(marker)}, buffer)
    return buffer.getvalue()


def flipped_bit(content: bytes, marker: Path) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 4]) + content[-19:]


def zeroed_block(content: bytes, marker: Path) -> bytes:
    return content[:-32] + bytes(32)


DAMAGES: dict[str, Callable[[bytes, Path], bytes]] = {
    "truncated": lambda content, _: content[:-1],
    "half": lambda content, _: content[: len(content) // 2],
    "longer": lambda content, _: content + b"x",
    "flipped bit": flipped_bit,
    "zeroed block": zeroed_block,
    "all zeros": lambda content, _: bytes(len(content)),
    "empty": lambda content, _: b"",
    "raw pickle": raw_pickle,
    "zipped pickle": zipped_pickle,
}
SEEN_WITHOUT_A_CHECKSUM = sorted(DAMAGES.keys() - {"flipped bit", "zeroed block"})


def damage(path: Path, kind: str, marker: Path) -> None:
    path.write_bytes(DAMAGES[kind](path.read_bytes(), marker))


def test_damage_is_found_by_size_and_by_content(store: CheckpointStore) -> None:
    path = save(store, 10)
    store.verify(path)
    path.write_bytes(b"weights 1")
    with pytest.raises(UserError, match=r"step_00000010\.safetensors is damaged: it has 9 bytes instead of 10"):
        store.verify(path)
    path.write_bytes(b"weights 1O")
    with pytest.raises(UserError, match="is damaged: its content differs"):
        store.verify(path)
    path.unlink()
    with pytest.raises(UserError, match="cannot be read: No such file"):
        store.verify(path)
    with pytest.raises(UserError, match=r"index\.json does not name"):
        store.verify(store.directory / "step_00000099.safetensors")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(
    saved: CheckpointStore, tmp_path: Path, kind: str
) -> None:
    damage(saved.directory / "step_00000030.safetensors", kind, tmp_path / "marker")
    found = saved.newest_valid()
    assert found.path.name == "step_00000020.safetensors"
    (line,) = found.rejected
    assert "step_00000030.safetensors is damaged" in line and "\n" not in line
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("kind", SEEN_WITHOUT_A_CHECKSUM)
def test_damage_is_found_although_the_index_was_forged_to_match(
    saved: CheckpointStore, tmp_path: Path, kind: str
) -> None:
    path = saved.directory / "step_00000030.safetensors"
    damage(path, kind, tmp_path / "marker")
    content = path.read_bytes()
    forge(saved, "last", size=len(content), sha256=sha256(content).hexdigest())
    saved.verify(path)
    found = saved.newest_valid()
    assert found.path.name == "step_00000020.safetensors"
    assert "not a complete safetensors file" in found.rejected[0] and "\n" not in found.rejected[0]
    assert not (tmp_path / "marker").exists()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_file_gets_past(saved: CheckpointStore, data: st.DataObject) -> None:
    path = saved.directory / "step_00000030.safetensors"
    content = whole(30)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=8)) + content[end:])
    expected = 30 if path.read_bytes() == content else 20
    assert f"{expected}.safetensors" in saved.newest_valid().path.name
