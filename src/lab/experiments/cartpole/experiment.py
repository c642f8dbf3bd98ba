"""How the cartpole experiment trains: a batch is a number of episodes, played in `prepare_batch`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from labwright import Experiment
from labwright.datasets import Splits
from labwright.metrics import Metric, WeightedMean
from labwright.runs import RunDirectory
from labwright.session import Predictions
from labwright.train import Batch, Loss, derive_seed

from .args import CartpoleArgs
from .physics import States, draw_starts, has_fallen, push


class Episodes:
    """Episodes to be played; nothing is stored but where they start. Without a seed each look finds new starts."""

    input_shape = (4,)

    def __init__(self, num_episodes: int, seed: int | None = None) -> None:
        self.num_episodes = num_episodes
        self.starts = None if seed is None else draw_starts(num_episodes, np.random.default_rng(seed))
        self.draws_random_numbers = seed is None

    def __len__(self) -> int:
        return self.num_episodes

    def __getitems__(self, indices: list[int]) -> Batch:
        if self.starts is None:
            starts = draw_starts(len(indices), np.random.default_rng(np.random.randint(2**31)))
        else:
            starts = self.starts[indices]
        return {"input": torch.from_numpy(starts), "index": torch.tensor(indices)}


class MeanReward(WeightedMean):
    """The steps that an episode lasts, in the mean over all episodes."""

    def __init__(self) -> None:
        super().__init__("reward", higher_is_better=True)

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.add(batch["reward"].mean(), len(batch["reward"]))


class Cartpole(Experiment[CartpoleArgs]):
    """REINFORCE (Williams, 1992) with rewards discounted from each step on, and the mean of the batch as the baseline.

    The loss says nothing by its value; its gradient makes actions likelier that were followed by more than the mean.
    """

    uses: ClassVar[frozenset[str]] = Experiment.uses - {
        "constant_offset_sd",
        "metric_inputs",
        "metrics",
        "threshold_metric",
        "white_noise_sd",
    }

    def build_datasets(self) -> Splits:
        args = self.args
        return Splits(
            train={"train": Episodes(args.train_episodes)},
            val={"val": Episodes(args.eval_episodes, derive_seed(args.seed, "val"))},
            test={"test": Episodes(args.eval_episodes, derive_seed(args.seed, "test"))},
            name="a simulated cart-pole",
            num_outputs=2,
            class_names=("left", "right"),
        )

    def build_parts(self) -> None:
        super().build_parts()
        self.rewards: list[float] = []

    def build_metrics(self) -> list[Metric]:
        return [MeanReward()]

    def prepare_batch(self, batch: Batch, *, training: bool) -> Batch:
        """The episodes that start there, played with the policy as it is at this moment."""
        played = self.play(batch["input"].numpy(), explore=training)
        if training:
            self.rewards += played["reward"].tolist()
        return batch | played

    def play(self, states: States, *, explore: bool) -> Batch:
        """`reward` of each episode, and `state`, `action` and `advantage` of each step of each.

        Actions are drawn with the policy's probabilities to `explore`, else they are the likelier ones.
        """
        steps: list[tuple[States, Any, Any]] = []
        is_up = np.ones(len(states), dtype=bool)
        while is_up.any() and len(steps) < self.args.max_steps:
            right = self.chance_of_right(states) > (np.random.random(len(states)) if explore else 0.5)
            steps.append((states, right, is_up))
            states = push(states, right)
            is_up = is_up & ~has_fallen(states)
        seen, actions, counts = (np.stack(column) for column in zip(*steps, strict=True))
        advantage = advantages(counts, self.args.discount)[counts]
        return {
            "state": torch.from_numpy(seen[counts]).float().to(self.device),
            "action": torch.from_numpy(actions[counts]).long().to(self.device),
            "advantage": torch.from_numpy(advantage).float().to(self.device),
            "reward": torch.from_numpy(counts.sum(axis=0)).float(),
        }

    @torch.no_grad()
    def chance_of_right(self, states: States) -> NDArray[np.float32]:
        """The probability with which the policy pushes each cart to the right."""
        with self.stepper.forward(self.model):
            logits = self.model(torch.from_numpy(states).float().to(self.device))
        return logits.float().softmax(dim=1)[:, 1].cpu().numpy()

    def compute_loss(self, batch: Batch) -> Loss:
        """The negative log-probability of each action times its advantage; the weight is the number of steps."""
        surprise = F.cross_entropy(self.model(batch["state"]), batch["action"], reduction="none")
        return Loss((surprise * batch["advantage"]).mean(), {}, len(surprise))

    def predict_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The reward of each episode."""
        return {"reward": batch["reward"]}

    def on_epoch_end(self) -> None:
        """Keep the reward of each episode of training, in the order they were played."""
        self.append("rewards", {"epoch": self.epoch, "train": self.rewards})
        self.rewards = []

    def state_dict(self) -> dict[str, Any]:
        """With the rewards of the epoch in hand: a run that is resumed in its middle has them."""
        return super().state_dict() | {"rewards": self.rewards}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rewards = state["rewards"]

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """rewards.png: how long the pole stayed up, episode by episode."""
        from labwright.runs.plots import plot_curve

        rewards = [reward for row in self.artifacts.rows.get("rewards", []) for reward in row["train"]]
        if not rewards:
            return []
        path = run.path / "rewards.png"
        tested = self.test_metrics["test"]["reward"]
        plot_curve(
            {"training": rewards},
            path,
            "How long the pole stays up",
            subtitle=f"test: {tested:.0f} of at most {self.args.max_steps} steps",
            x_label="Episode",
            y_label="Steps",
            smooth=50,
            levels={"longest possible": self.args.max_steps},
        )
        return [path]


def advantages(is_up: np.ndarray, discount: float) -> np.ndarray:
    """By how many deviations the discounted rewards from a step on exceed their mean over the episodes still up then.

    `is_up` is [steps, episodes]; each step that an episode is up brings a reward of 1.
    """
    returns = np.zeros(is_up.shape)
    ahead = np.zeros(is_up.shape[1])
    for step in reversed(range(len(is_up))):
        ahead = returns[step] = is_up[step] * (1.0 + discount * ahead)
    baseline = returns.sum(axis=1) / is_up.sum(axis=1)
    above = np.where(is_up, returns - baseline[:, None], 0.0)
    deviation = above[is_up].std()
    return above / deviation if deviation > 1e-6 else np.zeros_like(above)  # less is rounding
