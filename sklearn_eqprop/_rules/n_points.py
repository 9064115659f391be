"""N-point nudging: ds/dβ from equilibria on a circle of complex β."""

import cmath
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array


@dataclass(frozen=True)
class NPoints:
    """(1/N) Σ_k (s^{β_k} - s^0) / β_k at β_k = β exp(2πi k / N). Its error is O(β^N).

    Laborieux & Zenke (2022), "Holomorphic Equilibrium Propagation Computes Exact Gradients Through
    Finite Size Oscillations", arXiv:2209.00530. N = 2 is centred nudging. Conjugate strengths have
    conjugate equilibria, so that only the upper half of the circle is settled.
    """

    n_points: int

    name = "n_points"
    both_signs = True
    draws = False

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[complex, ...]:
        turn = 2 * math.pi / self.n_points
        return tuple(beta * cmath.exp(1j * turn * k) for k in range(self.n_points // 2 + 1))

    def slope(
        self, displacements: list[Array], strengths: tuple[complex, ...], weights: Any = 1.0
    ) -> Array:
        total = 0.0
        for k, (displacement, strength) in enumerate(zip(displacements, strengths, strict=True)):
            n_conjugates = 1 if 2 * k in (0, self.n_points) else 2
            total = total + (n_conjugates / self.n_points) * (displacement * (1 / strength)).real
        return total * weights
