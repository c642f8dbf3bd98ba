"""Handwritten digits with labwright's parts and a loop of your own: no registry, no run directory.

Run it with `python src/lab/wild_west/digits_by_hand.py`.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from labwright.datasets import DigitsDataArgs
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs
from labwright.schedulers import CosineArgs
from labwright.train import build_loader, seed_everything

EPOCHS = 10


def main() -> float:
    """The test accuracy after `EPOCHS` epochs."""
    seed_everything(0)
    splits = DigitsDataArgs().build(cache_dir=Path("cache"))
    model = MLPArgs(hidden_sizes=[64], activation="gelu").build(splits.input_shape, splits.num_outputs)
    adam = AdamArgs(learning_rate=3e-3)
    optimizer = adam.build(adam.param_groups(model))
    train = build_loader(splits.train["train"], 64, shuffle=True, seed=0)
    test = build_loader(splits.test["test"], 256, shuffle=False, seed=0)
    scheduler = CosineArgs(warmup_epochs=1).build(optimizer, EPOCHS, train.num_batches)

    for epoch in range(1, EPOCHS + 1):
        train.set_epoch(epoch)
        total = 0.0
        for batch in train:
            loss = F.cross_entropy(model(batch["input"]), batch["target"])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        print(f"epoch {epoch:>2}: training loss {total / train.num_batches:.4f}")

    model.eval()
    with torch.inference_mode():
        correct = sum(int((model(batch["input"]).argmax(1) == batch["target"]).sum()) for batch in test)
    accuracy = correct / test.num_samples
    print(f"test accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
