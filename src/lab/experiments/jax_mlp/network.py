"""A fully connected network and its training step, in plain `jax.numpy`: pure functions over arrays by name."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Weights = dict[str, Array]
_DECAY, _SQUARES_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class State(NamedTuple):
    """The weights, and what Adam (Kingma & Ba, 2015) remembers: running means of gradients and of their squares."""

    weights: Weights
    means: Weights
    squares: Weights
    step: int | Array = 0


def init_weights(sizes: Sequence[int], seed: int) -> Weights:
    """`layers.<n>.weight` and `.bias`: normal with variance 2 / inputs (He et al., 2015), and zero."""
    weights: Weights = {}
    for number, (num_inputs, num_units) in enumerate(pairwise(sizes)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        scale = jnp.sqrt(2 / num_inputs)
        weights[f"layers.{number}.weight"] = scale * jax.random.normal(key, (num_inputs, num_units))
        weights[f"layers.{number}.bias"] = jnp.zeros(num_units)
    return weights


def init_state(weights: Weights) -> State:
    """The state before the first step."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, zeros, zeros)


@jax.jit
def apply(weights: Weights, inputs: Array) -> Array:
    """Logits of inputs `[n, ...]`."""
    x = inputs.reshape(len(inputs), -1)
    num_layers = len(weights) // 2
    for number in range(num_layers):
        x = x @ weights[f"layers.{number}.weight"] + weights[f"layers.{number}.bias"]
        x = jax.nn.relu(x) if number < num_layers - 1 else x
    return x


@jax.jit
def measure(weights: Weights, inputs: Array, targets: Array) -> tuple[Array, Array]:
    """The mean cross-entropy and the accuracy of a batch."""
    logits = apply(weights, inputs)
    loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1).mean()
    return loss, (logits.argmax(axis=1) == targets).mean()


@jax.jit
def update(state: State, inputs: Array, targets: Array, rate: float) -> tuple[State, tuple[Array, Array]]:
    """The state after one step of Adam on a batch, and the batch's loss and accuracy before it."""
    measured, gradients = jax.value_and_grad(measure, has_aux=True)(state.weights, inputs, targets)
    step = state.step + 1
    means = jax.tree.map(lambda m, g: _DECAY * m + (1 - _DECAY) * g, state.means, gradients)
    squares = jax.tree.map(lambda v, g: _SQUARES_DECAY * v + (1 - _SQUARES_DECAY) * g**2, state.squares, gradients)
    # both averages began at zero; these factors take that out again
    mean_factor, square_factor = 1 / (1 - _DECAY**step), 1 / (1 - _SQUARES_DECAY**step)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m * mean_factor / (jnp.sqrt(v * square_factor) + _EPSILON),
        state.weights,
        means,
        squares,
    )
    return State(weights, means, squares, step), measured
