"""A cart on a track with a pole on it, many at a time, after Barto, Sutton & Anderson (1983), without their friction.

A state is [position (m), velocity, angle from upright (rad), angular velocity].
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

States: TypeAlias = NDArray[np.float64]
"""[carts, 4]"""

GRAVITY = 9.8
CART_MASS, POLE_MASS = 1.0, 0.1
HALF_LENGTH = 0.5
"""From the hinge to the pole's middle, in metres."""
FORCE = 10.0
SECONDS_PER_STEP = 0.02
TRACK, TILT = 2.4, np.radians(12)
"""How far from the middle, and how far from upright, an episode ends."""


def draw_starts(num_carts: int, rng: np.random.Generator) -> States:
    """States close to rest: each number within 0.05 of 0."""
    return rng.uniform(-0.05, 0.05, size=(num_carts, 4))


def push(states: States, to_the_right: NDArray[np.bool_]) -> States:
    """The states one step later (Euler's method), each cart pushed to the right or to the left."""
    position, velocity, angle, spin = states.T
    force = np.where(to_the_right, FORCE, -FORCE)
    total_mass, moment = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH
    thrust = (force + moment * spin**2 * np.sin(angle)) / total_mass
    turn = GRAVITY * np.sin(angle) - np.cos(angle) * thrust
    angular_acceleration = turn / (HALF_LENGTH * (4 / 3 - POLE_MASS * np.cos(angle) ** 2 / total_mass))
    acceleration = thrust - moment * angular_acceleration * np.cos(angle) / total_mass
    return states + SECONDS_PER_STEP * np.stack([velocity, acceleration, spin, angular_acceleration], axis=1)


def has_fallen(states: States) -> NDArray[np.bool_]:
    """Whether the cart has left the track, or the pole is tilted too far."""
    return (np.abs(states[:, 0]) > TRACK) | (np.abs(states[:, 2]) > TILT)
