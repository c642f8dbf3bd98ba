"""MNIST as a script would train it that knows no framework: 54,000 of 60,000 images, validated, tested, stored.

    python by_hand.py CACHE_DIR [--plain-sgd] [--first-step]

With --plain-sgd no torch optimizer is made; with --first-step the process ends right after its first step.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH_SIZE, EPOCHS, LEARNING_RATE = 64, 3, 1e-3


def read(name: str, header: int) -> np.ndarray:
    content = (Path(sys.argv[1]) / "mnist" / name).read_bytes()
    return np.frombuffer(content, np.uint8, offset=header)


def read_split(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28).copy())
    return images.float() / 255, torch.from_numpy(read(f"{name}-labels-idx1-ubyte", 8).copy()).long()


def evaluate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    model.eval()
    total, correct = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(x), BATCH_SIZE):
            logits, target = model(x[start : start + BATCH_SIZE]), y[start : start + BATCH_SIZE]
            total += F.cross_entropy(logits, target).item() * len(target)
            correct += (logits.argmax(1) == target).sum().item()
    return total / len(x), correct / len(x)


torch.manual_seed(0)
inputs, targets = read_split("train")
order = torch.randperm(len(inputs))
num_val = len(inputs) // 10
val_inputs, val_targets = inputs[order[:num_val]], targets[order[:num_val]]
inputs, targets = inputs[order[num_val:]], targets[order[num_val:]]
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = None if "--plain-sgd" in sys.argv else torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
for epoch in range(1, EPOCHS + 1):
    model.train()
    order = torch.randperm(len(inputs))
    total, correct = 0.0, 0
    for start in range(0, len(inputs), BATCH_SIZE):
        index = order[start : start + BATCH_SIZE]
        x, y = inputs[index], targets[index]
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        model.zero_grad()
        loss.backward()
        if optimizer is None:
            with torch.no_grad():
                for weights in model.parameters():
                    weights -= LEARNING_RATE * weights.grad
        else:
            optimizer.step()
        if "--first-step" in sys.argv:
            os._exit(0)
        total += loss.item() * len(y)
        correct += (logits.argmax(1) == y).sum().item()
    val_loss, val_accuracy = evaluate(model, val_inputs, val_targets)
    print(f"epoch {epoch}: loss {total / len(inputs):.4f} accuracy {correct / len(inputs):.4f}")
    print(f"  validation: loss {val_loss:.4f} accuracy {val_accuracy:.4f}", flush=True)
print("test:", *evaluate(model, *read_split("t10k")))
torch.save(model.state_dict(), "model.pt")
