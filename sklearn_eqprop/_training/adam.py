"""The Adam optimiser."""

from collections.abc import Sequence

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._training.updates import Optimizer, share_layout

#: The defaults of scikit-learn's MLP.
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-8


class Adam(Optimizer):
    """Kingma & Ba (2015), with the constants that scikit-learn's MLP uses by default.

    The parameters are those of `Optimizer`; momentum is not used. If the backend has a method
    ``adam(mean, square, direction, β_1, β_2, ε, rate)``, it takes the step in one pass.
    """

    name = "adam"
    normalises = True

    def remembers(self) -> tuple[str, ...]:
        return ("means", "squares")

    def begin_update(self) -> None:
        """Count an update, and compute the bias correction of its steps."""
        self.n_updates += 1
        self._fused = getattr(self._backend, "adam", None)
        # The moments are stored as decaying sums, m / (1 - β_1) and v / (1 - β_2). This saves
        # passes over the arrays.
        self._correction = (1 - BETA_2**self.n_updates) ** 0.5 / (1 - BETA_1**self.n_updates)
        self._correction *= (1 - BETA_1) / (1 - BETA_2) ** 0.5

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        xp, (mean, square) = self._backend.xp, memory
        rate *= self._correction
        epsilon = EPSILON / (1 - BETA_2) ** 0.5
        if self._fused is not None and share_layout(mean, square, direction):
            self._fused(mean, square, direction, BETA_1, BETA_2, epsilon, rate)
            return direction
        mean *= BETA_1
        mean += direction
        square *= BETA_2
        xp.multiply(direction, direction, out=direction)
        square += direction
        xp.sqrt(square, out=direction)
        direction += epsilon
        xp.divide(mean, direction, out=direction)
        direction *= rate
        return direction
