"""Accelerate: the loop of its documentation, everything prepared by the `Accelerator`."""

import torch
from accelerate import Accelerator
from bare_dataloader import loaders
from torch.nn import functional as F
from work import LEARNING_RATE, Clock, Epoch, Work


def train(work: Work, clock: Clock) -> list[Epoch]:
    accelerator = Accelerator()
    loader, val_loader = loaders(work)
    num_samples, num_val = len(loader.dataset), len(val_loader.dataset)
    model = work.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    model, optimizer, loader, val_loader = accelerator.prepare(model, optimizer, loader, val_loader)
    epochs = []
    for _ in range(work.num_epochs):
        clock.mark()
        model.train()
        total, correct = 0.0, 0
        for x, y in loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            accelerator.backward(loss)
            optimizer.step()
            total += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()
        model.eval()
        val_total, val_correct = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                logits, y = accelerator.gather_for_metrics((model(x), y))
                val_total += F.cross_entropy(logits, y).item() * len(y)
                val_correct += (logits.argmax(1) == y).sum().item()
        epochs.append(Epoch(total / num_samples, correct / num_samples, val_total / num_val, val_correct / num_val))
    clock.mark()
    return epochs
