"""How the digits are embedded and compared: a whole dataset is one batch, and the training images are the memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from labwright import BareExperiment
from labwright.args import UserError
from labwright.datasets import Dataset, Splits, limit
from labwright.runs import RunDirectory
from labwright.runs.plots import plot_embedding, plot_neighbours
from labwright.session import Predictions

from ..class_predictions import class_predictions
from .args import EmbedDigitsArgs
from .embedding import Embedding, Floats, Neighbours, Samples, fit_pca, nearest, vote, whole

_DEBUG_SAMPLES = 64


class EmbedDigits(BareExperiment[EmbedDigitsArgs]):
    """Looks up each image's nearest training images; they vote for its digit."""

    uses = frozenset({"from_checkpoint"})
    embed: Embedding
    memory_vectors: Floats
    """The training images, embedded."""

    # -- parts

    def build_datasets(self) -> Splits:
        splits = self.args.dataset.build(self.machine.cache_dir)
        if not self.options.debug:
            return splits
        train, val, test = (
            {name: limit(dataset, _DEBUG_SAMPLES) for name, dataset in sets.items()}
            for sets in (splits.train, splits.val, splits.test)
        )
        return replace(splits, train=train, val=val, test=test)

    def build_parts(self) -> None:
        super().build_parts()
        self.embed = self.args.embedding.build(self.splits, self.args.from_checkpoint)
        self.memory_vectors = self.embed(self.samples("train").inputs)
        if self.args.num_neighbours >= len(self.memory_vectors):
            raise UserError(
                f"--num_neighbours={self.args.num_neighbours}: there are {len(self.memory_vectors)} training images"
            )

    def build_loader(self, dataset: Dataset, name: str, *, training: bool) -> list[Samples]:
        return [whole(dataset)]

    def samples(self, name: str) -> Samples:
        """The images and labels of a dataset."""
        return self.loaders[name][0]

    def metric_directions(self) -> dict[str, bool]:
        return {"neighbour_accuracy": True, "neighbour_purity": True}

    # -- the rungs of the loop

    def on_experiment_start(self) -> None:
        self.store("embeddings_train", self.memory_vectors)

    def run_batch(self) -> None:
        """How often the vote is right, and how many of the neighbours are; what was found is kept."""
        samples: Samples = self.batch
        found = self.find(self.dataset_name)
        labels = self.samples("train").targets[found.positions]
        shares = vote(labels, self.splits.num_outputs)
        self.batch_metrics = {
            "neighbour_accuracy": np.mean(shares.argmax(axis=1) == samples.targets),
            "neighbour_purity": np.mean(labels == samples.targets[:, None]),
        }
        self.store(f"embeddings_{self.dataset_name}", self.embed(samples.inputs))
        self.store(f"neighbours_{self.dataset_name}", found.positions)

    def find(self, name: str) -> Neighbours:
        """The training images nearest to each image of a dataset; none is a neighbour of its own."""
        args = self.args
        vectors = self.embed(self.samples(name).inputs)
        return nearest(
            vectors, self.memory_vectors, args.num_neighbours, args.distance, skip_self=name in self.splits.train
        )

    # -- results

    def predict(self, name: str) -> Predictions:
        labels = self.samples("train").targets[self.find(name).positions]
        dataset = {**self.splits.train, **self.splits.val, **self.splits.test}[name]
        return class_predictions(dataset, self.samples(name).targets, vote(labels, self.splits.num_outputs))

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """neighbours.png and embedding.png, of the test images."""
        split = next(iter({**self.splits.test, **self.splits.val, **self.splits.train}))
        paths = [run.path / "neighbours.png", run.path / "embedding.png"]
        title = f"{self.splits.name}: {split}"
        self._plot_neighbours(split, paths[0], title)
        self._plot_embedding(split, paths[1], title)
        return paths

    def _plot_neighbours(self, split: str, path: Path, title: str) -> None:
        samples, memory, found = self.samples(split), self.samples("train"), self.find(split)
        _, first = np.unique(samples.targets, return_index=True)  # a query of each digit is shown
        order = np.concatenate([first, np.setdiff1d(np.arange(len(samples.targets)), first)])
        positions = found.positions[order]
        plot_neighbours(
            samples.inputs[order],
            memory.inputs[positions],
            samples.targets[order],
            memory.targets[positions],
            found.distances[order],
            path,
            title,
            subtitle=f"{self.args.embedding.kind}, {self.args.distance} distance",
            class_names=self.splits.class_names,
        )

    def _plot_embedding(self, split: str, path: Path, title: str) -> None:
        samples = self.samples(split)
        points = fit_pca(self.memory_vectors, 2)(self.embed(samples.inputs))
        subtitle = f"{self.args.embedding.kind}: the two largest principal components"
        plot_embedding(points, samples.targets, self.splits.class_names, path, title, subtitle=subtitle)
