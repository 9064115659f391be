"""How far outputs, and differences of outputs, can be from rest, see `contraction`.

The output is linear: s_L = Σ_j ρ(s_j) W_j + b at rest, and what it has left to move before that is
r_L = drive_L - s_L. So for any contrast c of outputs

    |c · (s_L* - s_L)| <= |c · r_L| + Σ_j ||W_j c|| e_j,      e_j the distance of layer j from rest.

Two outputs that layers drive alike move alike: their difference is often known long before
either of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.contraction import error_factors
from sklearn_eqprop._network.network import Network

#: Outputs up to which all their pairs are told apart.
MOST_PAIRED = 1000
#: What rounding may leave of squared lengths where nearly all of them cancels, relative.
ROUNDING = 1e-13


@dataclass(frozen=True)
class OutputBound:
    """What the bounds of a network are made of.

    Attributes
    ----------
    network : Network
    factors : ndarray of shape (n_layers, n_layers)
        See `error_factors`.
    sources : list of int
        The layers that drive the output.
    lengths : list of ndarray of shape (n_outputs,)
        ``||W_j c||`` for each output by itself, one array a source.
    distances : list of ndarray of shape (n_outputs, n_outputs), or float
        The same for the difference of each two; a number is the most that any two come to.
    """

    network: Network
    factors: np.ndarray
    sources: list[int]
    lengths: list[np.ndarray]
    distances: list[np.ndarray | float]

    def reach_at(self, states: Sequence[Array], drives: Sequence[Array]) -> Reach:
        """How far samples can be from rest that are at these states, with these drives.

        Parameters
        ----------
        states, drives : lists of array
            Of every layer, on the host; the drives are not written to.
        """
        left = drives[-1] - states[-1]
        sizes = []
        for layer, (state, drive) in enumerate(zip(states[:-1], drives[:-1], strict=True), start=1):
            moves = self.network.project(layer, drive)
            moves -= state
            sizes.append(_row_norms(moves))
        errors = np.stack([*sizes, _row_norms(left)], axis=1) @ self.factors.T
        return Reach(self, errors, left)


@dataclass(frozen=True)
class Reach:
    """How far the outputs of some samples can be from rest.

    Attributes
    ----------
    bound : OutputBound
    errors : ndarray of shape (n_samples, n_layers)
        Most that each layer can be away from rest, Euclidean norms.
    left : ndarray of shape (n_samples, n_outputs)
        What the outputs have left to move as long as nothing else moves.
    """

    bound: OutputBound
    errors: np.ndarray
    left: np.ndarray

    def of_outputs(self) -> np.ndarray:
        """Most that each output can still move, shape (n_samples, n_outputs)."""
        total = np.abs(self.left)
        for source, lengths in zip(self.bound.sources, self.bound.lengths, strict=True):
            total = total + self.errors[:, source - 1, None] * lengths
        return total

    def of_differences(self, base: np.ndarray) -> np.ndarray:
        """Most that each output can still move towards or away from one of them.

        Parameters
        ----------
        base : ndarray of int of shape (n_samples,)
            Which one, of each sample.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        total = np.abs(self.left - np.take_along_axis(self.left, base[:, None], axis=1))
        for source, distances in zip(self.bound.sources, self.bound.distances, strict=True):
            of_pairs = distances if isinstance(distances, float) else distances[base]
            total = total + self.errors[:, source - 1, None] * of_pairs
        return total


def output_bound(network: Network) -> OutputBound | None:
    """The bound of a network on the host; None where it is not known to be a contraction.

    Parameters
    ----------
    network : Network
    """
    factors = error_factors(network)
    if factors is None:
        return None
    n_outputs = network.layer_sizes[-1]
    sources, lengths, distances = [], [], []
    for connection in (*network.forward, *network.feedback):
        if connection.target == network.n_layers and connection.source > 0:
            weights = connection.apply_transposed(np.eye(n_outputs, dtype=network.dtype))
            sources.append(connection.source)
            lengths.append(np.linalg.norm(weights.astype(np.float64), axis=1))
            distances.append(_distances(weights.astype(np.float64), lengths[-1]))
    return OutputBound(network, factors, sources, lengths, distances)


def _row_norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean length of each row, in one pass."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def _distances(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray | float:
    """Euclidean distance of each two rows."""
    if rows.shape[0] > MOST_PAIRED:
        return 2 * float(lengths.max())
    squares = lengths**2
    sums = squares[:, None] + squares
    return np.sqrt(np.maximum(sums - 2 * rows @ rows.T, 0) + ROUNDING * sums)
