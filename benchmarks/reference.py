"""Implement equilibrium propagation literally: the baseline of `speed.py`.

It is plain NumPy, like the public implementations: Euler steps of all layers at once with clipping
(Eq. 77, Scellier et al. 2018), a fixed number of steps in both phases, every drive computed again
in every step, one-sided nudging of a squared error, minibatches of 20, SGD. Nothing is cached, and
nothing stops early. `tests/test_reference.py` checks that it settles at the equilibrium of the
package.
"""

from __future__ import annotations

import numpy as np


class LiteralNetwork:
    """Hard-sigmoid hidden layers, linear output, untied weights.

    Parameters
    ----------
    forward : list of array
        F_l of shape (n_{l-1}, n_l), l = 1..L.
    feedback : list of array
        B_l of shape (n_{l+1}, n_l), l = 1..L-1.
    biases : list of array
    """

    def __init__(self, forward, feedback, biases):
        self.forward, self.feedback, self.biases = forward, feedback, biases

    def velocity(self, inputs, states, target=None, beta=0.0):
        """Return μ^β of every layer (Eqs. 1 and 13)."""
        velocities = []
        for layer, state in enumerate(states):
            below = inputs if layer == 0 else states[layer - 1]
            drive = below @ self.forward[layer] + self.biases[layer]
            if layer < len(states) - 1:
                drive = drive + states[layer + 1] @ self.feedback[layer]
            velocity = drive - state
            if layer == len(states) - 1 and beta:
                velocity = velocity + beta * (target - state)
            velocities.append(velocity)
        return velocities

    def relax(self, inputs, states, n_steps, step_size=0.5, target=None, beta=0.0):
        """Return the states after `n_steps` Euler steps."""
        for _ in range(n_steps):
            velocities = self.velocity(inputs, states, target, beta)
            states = [s + step_size * v for s, v in zip(states, velocities, strict=True)]
            states = [np.clip(s, 0, 1) for s in states[:-1]] + states[-1:]
        return states

    def rest(self, n_samples):
        """Return states of zero."""
        return [np.zeros((n_samples, len(b)), dtype=b.dtype) for b in self.biases]

    def residual(self, inputs, states):
        """Return the largest velocity of each sample."""
        moves = [s + v for s, v in zip(states, self.velocity(inputs, states), strict=True)]
        moves = [np.clip(m, 0, 1) for m in moves[:-1]] + moves[-1:]
        each = [np.abs(m - s).max(axis=1) for m, s in zip(moves, states, strict=True)]
        return np.max(each, axis=0)

    def train_on(self, inputs, target, rate=0.05, beta=0.5, n_free=30, n_nudged=10):
        """Run both phases and one update (Eqs. 18-19, one-sided); return the free states."""
        free = self.relax(inputs, self.rest(len(inputs)), n_free)
        nudged = self.relax(inputs, free, n_nudged, target=target, beta=beta)
        deltas = [(n - f) / (beta * len(inputs)) for n, f in zip(nudged, free, strict=True)]
        rates = [inputs, *free]
        for layer, delta in enumerate(deltas):
            self.forward[layer] += rate * rates[layer].T @ delta
            self.biases[layer] += rate * delta.sum(axis=0)
            if layer < len(deltas) - 1:
                self.feedback[layer] += rate * free[layer + 1].T @ delta
        return free
