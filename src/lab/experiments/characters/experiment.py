"""How the characters experiment trains: cross-entropy of each next character, and a text sampled after each epoch."""

from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from labwright import Experiment
from labwright.metrics import Accuracy, Metric, Perplexity
from labwright.runs import RunDirectory
from labwright.session import Predictions
from labwright.train import Batch, Loss, derive_seed

from .args import CharactersArgs
from .gru import GRU


class Characters(Experiment[CharactersArgs]):
    """Predicts each character from those before it in its stretch of text; what is counted is characters."""

    uses: ClassVar[frozenset[str]] = Experiment.uses - {"threshold_metric"}

    def build_metrics(self) -> list[Metric]:
        return [Perplexity(), *(super().build_metrics() if self.args.metrics else [Accuracy()])]

    def compute_loss(self, batch: Batch) -> Loss:
        logits, target = self.model(batch["input"]), batch["target"]
        return Loss(F.cross_entropy(logits.transpose(1, 2), target), {"logits": logits}, target.numel())

    def predict_batch(self, batch: Batch) -> dict[str, Tensor]:
        """Nothing: a table of the likeliest next characters would help nobody."""
        return {}

    @torch.no_grad()
    def sample(self, seed: int) -> str:
        """A text by the model, as if after a line break; `seed` draws the same one each time."""
        characters = self.splits.class_names
        model, generator = cast(GRU, self.model), torch.Generator().manual_seed(seed)
        code, state, text = (characters.index("\n") if "\n" in characters else 0), None, ""
        model.eval()
        with self.averaged_model(), self.stepper.forward(model):
            for _ in range(self.args.sample_length):
                logits, state = model.read(torch.tensor([[code]], device=self.device), state)
                code = self.choose(logits[0, -1].float().cpu(), generator)
                text += characters[code]
        return text

    def choose(self, logits: Tensor, generator: torch.Generator) -> int:
        """One of the characters: drawn as the temperature has it, the likeliest where that is 0."""
        if not self.args.temperature:
            return int(logits.argmax())
        above = (logits - logits.max()) / self.args.temperature  # the likeliest stays finite, however cold it is
        return int(torch.multinomial(above.softmax(dim=0), 1, generator=generator))

    def on_epoch_end(self) -> None:
        """Keep a text by the model as it is now."""
        perplexity = {split: metrics["perplexity"] for split, metrics in self.epoch_metrics.items()}
        text = self.sample(derive_seed(self.args.seed, "sample", self.epoch))
        self.append("samples", {"epoch": self.epoch, "perplexity": perplexity, "text": text})

    def on_test_end(self) -> None:
        """Keep a text by the model that the run returns."""
        self.store("sample", self.sample(derive_seed(self.args.seed, "sample", "test")))

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """samples.png: what the model wrote after the first epochs and at the end."""
        from labwright.runs.plots import plot_text_samples

        rows, values = self.artifacts.rows.get("samples", []), self.artifacts.values
        shown = [(f"after epoch {row['epoch']}", row["text"]) for row in rows if row["epoch"] in (1, 2, 4)]
        if "sample" in values:
            shown.append(("the model that the run returns", values["sample"]))
        if not shown:
            return []
        path = run.path / "samples.png"
        splits = list(rows[0]["perplexity"]) if rows else []
        plot_text_samples(
            shown,
            path,
            f"{self.args.experiment_id}: {self.splits.name}",
            subtitle=f"sampled at temperature {self.args.temperature:g}",
            curve={split: [row["perplexity"][split] for row in rows] for split in splits},
        )
        return [path]
