"""What passes through a codec untouched, and codecs by name."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.shards.codecs import Codec, CodecError, ImageCodec, PickleCodec, codec, codec_name, codec_names
from labwright.shards.errors import ShardError

PNG = codec("png").encode(np.zeros((2, 3), np.uint8))


class UpperCodec(Codec):
    """Text in capitals."""

    names = ("upper",)

    def encode(self, value: Any) -> bytes:
        return value.upper().encode()

    def decode(self, data: bytes | memoryview) -> str:
        return bytes(data).decode()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes_are_stored_untouched(kind: type) -> None:
    assert codec("png").to_bytes(kind(PNG)) == PNG


def test_a_file_is_stored_untouched(tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(PNG)
    assert codec("png").passes(path)
    assert codec("png").to_bytes(path) == PNG


def test_text_is_a_value_and_no_path(tmp_path: Path) -> None:
    assert codec("txt").to_bytes("/etc/passwd") == b"/etc/passwd"
    with pytest.raises(CodecError, match=r"png takes an image of Pillow, .* not str"):
        codec("png").to_bytes(str(tmp_path))


def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, line in (("missing", "No such file"), (".", "Is a directory|is no file"), ("pipe", "is no file")):
        with pytest.raises(CodecError, match=line):
            codec("png").to_bytes(tmp_path / path)


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("jpg", PNG, "a PNG image, where JPEG belongs"),
        ("png", b"", "no bytes, where PNG belongs"),
        ("webp", b"hello", "no image that is known here, where WEBP belongs"),
        ("npy", PNG, "does not begin as NumPy"),
        ("cls", b"cat", "not an integer"),
        ("json", b"<html>", "not the beginning of JSON"),
        ("rle", b"short", "too short"),
        ("rle", PNG, "do not begin so"),
        ("seg16", PNG, "none of 16 bits"),
        ("seg8", b"P5 1 1 255 \0", "where PNG belongs"),
        ("mat", PNG, "does not begin so"),
    ],
)
def test_bytes_of_another_format_are_refused(name: str, data: bytes, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        codec(name).to_bytes(data)


@pytest.mark.parametrize("name", sorted(set(codec_names()) - {"avif", "bin", "bytes", "gif"}))
def test_every_codec_passes_on_what_it_wrote(name: str) -> None:
    chosen = codec(name)
    values = {"cls": 3, "json": [None], "txt": "", "mat": {"x": np.eye(2)}, "npy": 1.5, "rle": np.zeros(0, bool)}
    image = np.zeros((4, 4, 3) if name == "webp" else (4, 4), np.uint8)
    own = next((values[each] for each in type(chosen).names if each in values), image)
    data = chosen.encode(own)
    assert chosen.to_bytes(data) == data


def test_a_codec_of_ones_own_is_a_subclass_with_two_methods() -> None:
    assert UpperCodec().to_bytes("abc") == b"ABC"
    assert UpperCodec().to_bytes(b"abc") == b"abc"
    assert UpperCodec().decode(memoryview(b"ABC")) == "ABC"


def test_an_unknown_name_is_answered_by_the_known_ones() -> None:
    with pytest.raises(ShardError, match=r"no codec is called 'flac'; there are avif, bin, .*, webp$"):
        codec("flac")


def test_pickle_is_no_codec() -> None:
    with pytest.raises(ShardError, match="'pkl' is pickle, which runs programs and is no codec here"):
        codec("pkl")
    assert "pkl" not in codec_names()
    with pytest.raises(CodecError, match="pickle is not written"):
        codec("pkl", unsafe=True).to_bytes({})


def test_pickle_is_read_when_code_says_that_it_is_trusted() -> None:
    reader = codec("pkl", unsafe=True)
    assert isinstance(reader, PickleCodec)
    assert reader.decode(memoryview(pickle.dumps({"a": 1}))) == {"a": 1}
    with pytest.raises(CodecError, match="cannot be unpickled: UnpicklingError"):
        reader.decode(b"\x80\x04no")


@pytest.mark.parametrize(
    ("field", "name"),
    [("jpg", "jpg"), ("left.JPG", "jpg"), ("flac", "bytes"), ("meta.pkl", "pkl"), ("seg16.x", "bytes")],
)
def test_a_field_has_the_codec_of_its_last_part(field: str, name: str) -> None:
    assert codec_name(field) == name


def test_codecs_travel_to_other_processes() -> None:
    for name in codec_names():
        assert pickle.loads(pickle.dumps(codec(name))).names == codec(name).names


def test_an_instance_is_called_what_it_was_made_for() -> None:
    assert codec("seg16").names == ("seg16",)
    assert ImageCodec("jpeg").names[0] == "jpeg"
    assert "jpg" in ImageCodec("jpeg").names
    with pytest.raises(ValueError, match="'gig' is none of jpg, "):
        ImageCodec("gig")


def test_libraries_of_images_are_imported_with_the_first_image() -> None:
    heavy = {"PIL", "simplejpeg", "scipy", "torch"}
    check = "import sys\nfrom labwright.shards.codecs import codec\ncodec('jpg'), codec('mat').encode({})\n"
    check += f"print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=600)
    assert done.stdout == "set()\n", done.stderr
