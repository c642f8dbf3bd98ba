"""What people write by hand: shuffled slices of tensors, torch's default Adam, `.item()` in each step."""

from collections.abc import Iterator

import torch
from torch.nn import functional as F
from work import LEARNING_RATE, Clock, Epoch, Work


def train(work: Work, clock: Clock) -> list[Epoch]:
    epochs = list(each_epoch(work, clock))
    clock.mark()
    return epochs


def each_epoch(work: Work, clock: Clock) -> Iterator[Epoch]:
    """Trains one epoch for each that is asked for."""
    inputs, targets, val_inputs, val_targets = work.float_sets()
    model = work.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    num_samples, batch_size = len(inputs), work.batch_size
    for _ in range(work.num_epochs):
        clock.mark()
        model.train()
        order = torch.randperm(num_samples)
        total, correct = 0.0, 0
        for start in range(0, num_samples, batch_size):
            index = order[start : start + batch_size]
            x, y = inputs[index], targets[index]
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()
        model.eval()
        val_total, val_correct = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(val_inputs), batch_size):
                x, y = val_inputs[start : start + batch_size], val_targets[start : start + batch_size]
                logits = model(x)
                val_total += F.cross_entropy(logits, y).item() * len(y)
                val_correct += (logits.argmax(1) == y).sum().item()
        num_val = len(val_inputs)
        yield Epoch(total / num_samples, correct / num_samples, val_total / num_val, val_correct / num_val)
