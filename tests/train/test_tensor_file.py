import json

import pytest
import safetensors.torch
import torch

from labwright.train.tensor_file import decode, encode


def test_safetensors_reads_what_is_written() -> None:
    tensors = {
        "half": torch.randn(3, 2).half(),
        "flags": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.empty(0, 4),
        "transposed": torch.arange(6).reshape(2, 3).T,
        "größe": torch.ones(1, dtype=torch.bfloat16),
    }
    loaded = safetensors.torch.load(encode(tensors, {"format": "pt"}))
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].equal(tensor)


def test_equal_tensors_give_equal_bytes() -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.int8), "c": torch.zeros(3), "d": torch.zeros(16)}
    tensors["e"] = tensors["d"] + 1
    assert encode(tensors, {"x": "1", "y": "2"}) == encode(dict(reversed(tensors.items())), {"x": "1", "y": "2"})


def test_tensors_begin_where_copies_are_fast_and_elements_may_lie() -> None:
    types = [torch.float64, torch.float32, torch.float16, torch.uint8]
    tensors = {f"{size} {dtype}": torch.ones(size, dtype=dtype) for size in (0, 3, 64, 65, 128) for dtype in types}
    data = encode(tensors, {})
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for name, tensor in tensors.items():
        start, _ = header[name]["data_offsets"]
        assert start % (tensor.element_size() if tensor.nbytes % 64 else 64) == 0, name


def test_metadata_comes_back() -> None:
    assert decode(encode({}, {"format": "pt"})) == ({}, {"format": "pt"})
    assert decode(safetensors.torch.save({})) == ({}, {})


def test_a_type_without_a_name_in_the_format_is_refused() -> None:
    with pytest.raises(TypeError, match="phase: tensors of type torch.complex64"):
        encode({"phase": torch.zeros(1, dtype=torch.complex64)}, {})


@pytest.mark.parametrize("keep", [0, 5, 8, 40, -1])
def test_a_truncated_file_is_not_a_complete_one(keep: int) -> None:
    data = encode({"weight": torch.randn(100)}, {"format": "pt"})
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        decode(data[:keep])
