import pytest
import torch

from labwright.train import clip_gradients


def parameters_with_gradients(*gradients: list[float]) -> list[torch.Tensor]:
    parameters = [torch.zeros(len(values), requires_grad=True) for values in gradients]
    for parameter, values in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(values)
    return parameters


def test_large_gradients_are_scaled_together() -> None:
    parameters = parameters_with_gradients([3.0], [0.0, 4.0])
    norm = clip_gradients(iter(parameters), max_norm=1.0)
    assert norm.item() == pytest.approx(5.0)
    gradients = torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None])
    assert gradients.tolist() == pytest.approx([0.6, 0.0, 0.8], rel=1e-4)


def test_small_gradients_stay_as_they_are() -> None:
    (parameter,) = parameters_with_gradients([0.3, 0.4])
    assert clip_gradients([parameter], max_norm=1.0).item() == pytest.approx(0.5)
    assert parameter.grad is not None and parameter.grad.tolist() == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    ours, theirs = ([torch.zeros(shape, dtype=dtype) for shape in ((3, 4), (1,), (0,), (50,))] for _ in range(2))
    for mine, other in zip(ours, theirs, strict=True):
        mine.grad = torch.randn_like(mine)
        other.grad = mine.grad.clone()
    assert clip_gradients(ours, max_norm=1.0) == torch.nn.utils.clip_grad_norm_(theirs, max_norm=1.0)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None and other.grad is not None and mine.grad.equal(other.grad)


def test_parameters_without_gradients_have_no_norm() -> None:
    assert clip_gradients([torch.zeros(3)], max_norm=1.0).item() == 0.0


def test_sparse_gradients_are_clipped_by_what_they_add_up_to() -> None:
    table = torch.nn.Embedding(10, 1, sparse=True)
    table(torch.tensor([2, 2, 2, 5, 5, 5, 5])).sum().backward()  # gradients 3 and 4
    assert clip_gradients([table.weight], max_norm=1.0).item() == pytest.approx(5.0)
    assert table.weight.grad is not None
    assert table.weight.grad.to_dense().norm().item() == pytest.approx(1.0, rel=1e-4)
