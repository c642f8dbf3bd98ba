"""The bare loop over a `DataLoader` of a `TensorDataset`, torch's default Adam, `.item()` in each step."""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from work import LEARNING_RATE, Clock, Epoch, Work


def train(work: Work, clock: Clock) -> list[Epoch]:
    loader, val_loader = loaders(work)
    model = work.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    num_samples, num_val = len(loader.dataset), len(val_loader.dataset)
    epochs = []
    for _ in range(work.num_epochs):
        clock.mark()
        model.train()
        total, correct = 0.0, 0
        for x, y in loader:
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
            for x, y in val_loader:
                logits = model(x)
                val_total += F.cross_entropy(logits, y).item() * len(y)
                val_correct += (logits.argmax(1) == y).sum().item()
        epochs.append(Epoch(total / num_samples, correct / num_samples, val_total / num_val, val_correct / num_val))
    clock.mark()
    return epochs


def loaders(work: Work) -> tuple[DataLoader, DataLoader]:
    """Training batches, shuffled, and validation batches, as most of the frameworks are given them."""
    inputs, targets, val_inputs, val_targets = work.float_sets()
    training, val = TensorDataset(inputs, targets), TensorDataset(val_inputs, val_targets)
    return DataLoader(training, work.batch_size, shuffle=True), DataLoader(val, work.batch_size)
