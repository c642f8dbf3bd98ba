import pytest
import torch
from torch import Tensor

from labwright.train.aliases import Place, share_memory


def names_stored(**tensors: Tensor) -> set[str]:
    return set(share_memory([Place(name, tensor) for name, tensor in tensors.items()]))


def test_separate_tensors_are_all_stored() -> None:
    assert names_stored(a=torch.zeros(2), b=torch.zeros(2)) == {"a", "b"}


def test_the_same_memory_is_stored_under_its_first_name() -> None:
    weight = torch.zeros(2, 3)
    assert names_stored(encoder=weight, decoder=weight, transposed=weight.T) == {"encoder"}


def test_a_part_of_a_tensor_is_not_stored_again() -> None:
    weight = torch.zeros(10)
    assert names_stored(middle=weight[2:5], strided=weight[::3], whole=weight) == {"whole"}


def test_tensors_that_merely_overlap_are_stored_apart() -> None:
    weight = torch.zeros(10)
    assert names_stored(left=weight[:6], right=weight[4:]) == {"left", "right"}


def test_slices_that_do_not_touch_are_stored_apart() -> None:
    """Recurrent layers on a GPU keep all their weights in one block of memory."""
    block = torch.zeros(12)
    assert names_stored(a=block[:6], b=block[6:]) == {"a", "b"}


def test_empty_tensors_are_never_taken_for_each_other() -> None:
    assert names_stored(a=torch.empty(0), b=torch.empty(0, 3)) == {"a", "b"}


def test_views_of_another_type_are_stored_apart() -> None:
    weight = torch.zeros(4)
    assert names_stored(floats=weight, integers=weight.view(torch.int32)) == {"floats", "integers"}


@pytest.mark.parametrize("tensor", [torch.zeros(2, device="meta"), torch.eye(2).to_sparse()])
def test_what_has_no_plain_memory_is_refused_by_name(tensor: Tensor) -> None:
    with pytest.raises(TypeError, match="optimizer.x: a sparse, quantized or meta tensor"):
        names_stored(**{"optimizer.x": tensor})
