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
