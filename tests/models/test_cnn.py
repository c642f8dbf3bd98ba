import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from labwright.models import CNNArgs
from labwright.optimizers import AdamArgs


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 7, 5), (1, 1, 1)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_images_of_any_size_survive_many_convolutions(shape: tuple[int, int, int], kernel_size: int) -> None:
    args = CNNArgs.model_validate({"channels": [2, 3, 4, 5], "kernel_size": kernel_size, "dropout": 0.1})
    assert args.build(shape, 10)(torch.randn(6, *shape)).shape == (6, 10)


@pytest.mark.slow
def test_exported_model_gives_the_same_output_for_any_batch_size() -> None:
    model = CNNArgs(channels=[2, 3], hidden_size=4).build((1, 8, 8), 3).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (torch.randn(4, 1, 8, 8),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(9, 1, 8, 8)
    torch.testing.assert_close(exported(x), model(x))


def test_default_cnn_learns_handwritten_digits() -> None:
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32).div(16).view(-1, 1, 8, 8), torch.tensor(labels)
    model = CNNArgs().build((1, 8, 8), 10)
    optimizer = AdamArgs(learning_rate=3e-3).build(model.parameters())
    for _ in range(5):
        for rows in torch.randperm(1500).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    accuracy = (model(x[1500:]).argmax(1) == y[1500:]).float().mean().item()
    assert accuracy > 0.9
