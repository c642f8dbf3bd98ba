"""Ignite: its supervised trainer and evaluator with Loss and Accuracy attached. No progress bar or checkpoints."""

import torch
from bare_dataloader import loaders
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy, Loss
from torch import Tensor, nn
from work import LEARNING_RATE, Clock, Epoch, Work


def train(work: Work, clock: Clock) -> list[Epoch]:
    loader, val_loader = loaders(work)
    model, criterion = work.model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    trainer = create_supervised_trainer(model, optimizer, criterion, output_transform=_outputs)
    evaluator = create_supervised_evaluator(model)
    for engine in (trainer, evaluator):
        Accuracy().attach(engine, "accuracy")
        Loss(criterion).attach(engine, "loss")
    epochs: list[Epoch] = []

    @trainer.on(Events.EPOCH_STARTED)
    def mark() -> None:
        clock.mark()

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        evaluator.run(val_loader)
        training, val = trainer.state.metrics, evaluator.state.metrics
        epochs.append(Epoch(training["loss"], training["accuracy"], val["loss"], val["accuracy"]))

    trainer.run(loader, max_epochs=work.num_epochs)
    clock.mark()
    return epochs


def _outputs(x: Tensor, y: Tensor, logits: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    return logits.detach(), y
