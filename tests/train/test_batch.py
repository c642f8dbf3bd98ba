import pytest
import torch

from labwright.train import Loss, to_device


def test_tensors_move_and_the_rest_stays() -> None:
    batch = {
        "input": torch.zeros(2, 3),
        "source": ["digits", "digits"],
        "boxes": [torch.zeros(1, 4), torch.zeros(2, 4)],
        "more": {"mask": torch.ones(2)},
    }
    moved = to_device(batch, torch.device("meta"))
    assert moved["input"].device.type == "meta"
    assert [box.device.type for box in moved["boxes"]] == ["meta", "meta"]
    assert moved["more"]["mask"].device.type == "meta"
    assert moved["source"] == ["digits", "digits"]
    assert batch["input"].device.type == "cpu"


def test_a_detached_loss_lets_go_of_the_graph() -> None:
    weight = torch.ones(3, requires_grad=True)
    logits = weight * 2
    loss = Loss(logits.mean(), {"logits": logits}, 3).detach()
    assert not loss.value.requires_grad and not loss.outputs["logits"].requires_grad
    assert loss.value.item() == 2 and loss.weight == 3
    with pytest.raises(RuntimeError):
        loss.value.backward()
