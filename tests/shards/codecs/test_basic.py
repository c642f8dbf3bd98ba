"""Classes, text and JSON come back exactly, or are refused."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.shards.codecs import BytesCodec, ClsCodec, CodecError, JsonCodec, TxtCodec, codec

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.integers(-(2**63), 2**63 - 1))
def test_classes_come_back_as_they_were(number: int) -> None:
    data = ClsCodec().encode(number)
    assert data == str(number).encode()  # what WebDataset and quix write, too
    assert ClsCodec().decode(memoryview(data)) == number


@pytest.mark.parametrize("value", [True, np.True_, np.uint8(1), np.array(1), torch.tensor(1), torch.tensor([[1]])])
def test_whatever_counts_as_one_integer_is_a_class(value: Any) -> None:
    assert ClsCodec().encode(value) == b"1"


@pytest.mark.parametrize("value", [1.0, np.float32(1), "1", None, [1], np.zeros(2, int), torch.zeros(2), 2**63])
def test_anything_else_is_no_class(value: Any) -> None:
    with pytest.raises(CodecError, match=r"cls takes an integer, not|64 bits"):
        ClsCodec().encode(value)


@pytest.mark.parametrize(("data", "number"), [(b"7\n", 7), (b" -100 ", -100), (b"+3", 3), (b"007", 7)])
def test_classes_of_other_writers_are_read(data: bytes, number: int) -> None:
    assert ClsCodec().decode(data) == number


@pytest.mark.parametrize(
    "data", [b"", b"3.0", b"1_000", b"\xd9\xa3", b"9" * 19, b"9" * 10_000, b"cat"], ids=lambda data: repr(data[:20])
)
def test_bytes_that_are_no_class_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match="is not an integer of 64 bits in decimal digits"):
        ClsCodec().decode(data)


@settings(max_examples=40)
@given(st.text())
def test_text_comes_back_as_it_was(text: str) -> None:
    assert TxtCodec().decode(memoryview(TxtCodec().encode(text))) == text


def test_text_that_utf8_has_not_is_refused_both_ways() -> None:
    with pytest.raises(CodecError, match="character 1 of the text is half of a pair"):
        TxtCodec().encode("a\ud800")
    with pytest.raises(CodecError, match="not UTF-8: byte 1"):
        TxtCodec().decode(b"a\xff")
    with pytest.raises(CodecError, match="txt takes a str, not int"):
        TxtCodec().encode(3)


@settings(max_examples=40)
@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    data = JsonCodec().encode(value)
    came = JsonCodec().decode(memoryview(data))
    assert came == value
    assert repr(came) == repr(value)  # 1 is not True, 0.0 not -0.0, and the order of keys is kept
    assert json.loads(data) == value


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (math.nan, "Out of range float"),
        ([-math.inf], "Out of range float"),
        ({1: 2}, "no keys but text: 1"),
        ([{"a": ({None: 1},)}], "no keys but text: None"),
        (np.zeros(2), "JSON has no word for it: .*ndarray"),
        ({"a": {1}}, "JSON has no word for it: .*set"),
        ("\udfff", "half of a pair"),
        (10**5000, "JSON cannot say it"),
    ],
    ids=["nan", "infinity", "key", "key inside", "array", "set", "half", "long"],
)
def test_what_json_would_change_is_refused(value: Any, line: str) -> None:
    with pytest.raises(CodecError, match=line):
        JsonCodec().encode(value)


def test_json_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CodecError, match="JSON cannot say it"):
        JsonCodec().encode(value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1,]", b"[" * 100_000, b"\xff", b"1" * 5000, b'{"a": 01}'], ids=lambda data: repr(data[:20])
)
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match="no JSON"):
        JsonCodec().decode(data)


def test_nan_of_other_writers_is_read() -> None:
    assert math.isnan(JsonCodec().decode(b"[NaN]")[0])


@settings(max_examples=20)
@given(st.binary())
def test_bytes_stay_bytes(data: bytes) -> None:
    assert BytesCodec().decode(memoryview(BytesCodec().to_bytes(data))) == data


def test_the_bytes_codec_encodes_nothing() -> None:
    with pytest.raises(CodecError, match="bytes takes bytes or a Path; .*, not ndarray"):
        BytesCodec().encode(np.zeros(2))


def test_webdataset_decodes_what_is_written_here() -> None:
    autodecode = pytest.importorskip("webdataset.autodecode")
    values = {"cls": 7, "json": {"a": [1, "é"]}, "txt": "é", "npy": np.eye(2)}
    sample = {name: codec(name).encode(value) for name, value in values.items()}
    came = autodecode.Decoder([])({"__key__": "0", **sample})
    np.testing.assert_array_equal(came.pop("npy"), values.pop("npy"))
    assert came == {"__key__": "0", **values}
