"""The pole learns to stay up, and the physics that it stays up in is right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lab.experiments.cartpole.args import CartpoleArgs
from lab.experiments.cartpole.experiment import Cartpole, Episodes, advantages
from lab.experiments.cartpole.physics import (
    CART_MASS,
    FORCE,
    GRAVITY,
    HALF_LENGTH,
    POLE_MASS,
    SECONDS_PER_STEP,
    has_fallen,
    push,
)
from labwright import MachineConfig

states = arrays(np.float64, (3, 4), elements=st.floats(-2, 2))
actions = arrays(np.bool_, 3)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cartpole]:
    def make(**fields: Any) -> Cartpole:
        quick = {"epochs": 1, "train_episodes": 8, "eval_episodes": 4, "batch_size": 4, "max_steps": 60}
        return Cartpole(CartpoleArgs(**quick | fields), MachineConfig(results_dir=tmp_path, use_cuda=False))

    return make


def rewards(run: Path) -> list[list[float]]:
    return [json.loads(line)["train"] for line in (run / "artifacts" / "rewards.jsonl").read_text().splitlines()]


class TestPhysics:
    @given(states, actions)
    def test_motion_obeys_newton(self, states: np.ndarray, to_the_right: np.ndarray) -> None:
        _, _, angle, spin = states.T
        _, acceleration, _, turn = ((push(states, to_the_right) - states) / SECONDS_PER_STEP).T
        inertia = (CART_MASS + POLE_MASS) * acceleration
        inertia += POLE_MASS * HALF_LENGTH * (turn * np.cos(angle) - spin**2 * np.sin(angle))
        np.testing.assert_allclose(inertia, np.where(to_the_right, FORCE, -FORCE), atol=1e-9)
        torque = GRAVITY * np.sin(angle) - acceleration * np.cos(angle)
        np.testing.assert_allclose(4 / 3 * HALF_LENGTH * turn, torque, atol=1e-9)

    @given(states, actions)
    def test_left_and_right_are_mirror_images(self, states: np.ndarray, to_the_right: np.ndarray) -> None:
        np.testing.assert_allclose(push(-states, ~to_the_right), -push(states, to_the_right), atol=1e-12)

    @given(states, actions)
    def test_carts_do_not_feel_each_other(self, states: np.ndarray, to_the_right: np.ndarray) -> None:
        alone = [push(states[[row]], to_the_right[[row]])[0] for row in range(len(states))]
        np.testing.assert_array_equal(push(states, to_the_right), alone)

    def test_an_episode_ends_off_the_track_or_tilted_too_far(self) -> None:
        ends = np.array([[0, 0, 0, 0], [2.5, 0, 0, 0], [-2.5, 0, 0, 0], [0, 0, 0.22, 0], [0, 9, -0.2, 9]], float)
        assert has_fallen(ends).tolist() == [False, True, True, True, False]


class TestAdvantages:
    def test_they_are_what_exceeds_the_mean_of_those_still_up(self) -> None:
        is_up = np.array([[1, 1], [1, 1], [1, 0]], dtype=bool)
        # rewards ahead, by half per step: 1.75 and 1.5, then 1.5 and 1, then 1 alone
        expected = np.array([[0.125, -0.125], [0.25, -0.25], [0, 0]])
        np.testing.assert_allclose(advantages(is_up, 0.5), expected / expected[is_up].std())

    def test_equal_episodes_teach_nothing(self) -> None:
        assert not advantages(np.ones((500, 3), dtype=bool), 0.99).any()


class TestEpisodes:
    def test_starts_are_new_at_each_look_unless_seeded(self) -> None:
        for seed, is_equal in ((None, False), (3, True)):
            episodes = Episodes(5, seed)
            first, again = (episodes.__getitems__([4, 1])["input"] for _ in range(2))
            assert first.shape == (2, 4) and first.abs().max() <= 0.05
            assert bool((first == again).all()) is is_equal

    def test_actions_that_are_not_explored_are_the_likelier_ones(self, make: Callable[..., Cartpole]) -> None:
        experiment = make()
        experiment.run()
        starts = Episodes(4, 0).__getitems__([0, 1, 2, 3])["input"].numpy()
        played = experiment.play(starts, explore=False)
        likelier = experiment.model(played["state"]).argmax(dim=1)
        assert (played["action"] == likelier).all() and len(likelier) == int(played["reward"].sum())


@pytest.mark.slow
def test_the_pole_learns_to_stay_up(make: Callable[..., Cartpole]) -> None:
    ended = make(epochs=5, train_episodes=160, eval_episodes=20, batch_size=16, max_steps=300).run()
    first, *_, last = rewards(ended.run_dir)
    assert len(first) == len(last) == 160
    assert np.mean(first) < 40 and np.mean(last) > 100
    assert ended.test["reward"] > 150 and ended.best_metric == "val/reward"


def test_a_seed_plays_the_same_episodes_again(make: Callable[..., Cartpole]) -> None:
    first, again, other = (make(seed=seed, epochs=2).run().run_dir for seed in (0, 0, 1))
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert rewards(first) == rewards(again) != rewards(other)
    assert rewards(first)[0] != rewards(first)[1]


def test_windows_of_several_batches_step_once(make: Callable[..., Cartpole]) -> None:
    assert make(train_episodes=16, accumulate_batches=2).run().steps == 2


def test_debug_run_draws_the_rewards(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=cartpole", "--debug", "--use_cuda=false")
    assert (ended.run / "rewards.png").is_file() and ended.record["debug"]
    rows = (ended.run / "predictions" / "test.csv").read_text().splitlines()
    assert rows[0] == "index,reward" and len(rows) == 33


@pytest.mark.parametrize("flag", ["--white_noise_sd=1", '--metrics={"multiclass_classification": ["f1_macro"]}'])
def test_settings_that_mean_nothing_here_are_refused(command_line: Callable[..., Any], flag: str) -> None:
    assert "cartpole does not use it" in command_line("--experiment_id=cartpole", flag).error
