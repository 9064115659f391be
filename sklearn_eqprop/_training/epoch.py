"""One pass over the data, minibatch by minibatch, and the schedule of its learning rates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop._backend.array_backend import ArrayBackend, Feed
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import Credit
from sklearn_eqprop._training.trainer import Trainer

if TYPE_CHECKING:
    from sklearn_eqprop._training.averaging import WeightAverage

#: Exponent of the 'invscaling' schedule, as in scikit-learn's MLP.
POWER_T = 0.5
#: 'adaptive' divides the rate by this. It stops when the factor would fall below the floor.
ADAPTIVE_DIVISOR = 5.0
ADAPTIVE_FLOOR = 1e-4


@dataclass(frozen=True)
class Schedule(ABC):
    """A factor on all learning rates that changes over the epochs.

    A new schedule is a subclass with `factor`, and one entry in `SCHEDULES`.

    Parameters
    ----------
    length : int
        Length of the schedule in epochs.

    Attributes
    ----------
    name : str
        Value of the parameter ``learning_rate`` that chooses it.
    """

    length: int

    name: ClassVar[str]

    @abstractmethod
    def factor(self, n_epochs_done: float, n_cuts: int) -> float:
        """Factor on the learning rates of the next update.

        Parameters
        ----------
        n_epochs_done : float
            Epochs done so far, with the fraction of the current one.
        n_cuts : int
            How often training has reduced the rate because it made no progress.
        """

    def may_cut(self, n_cuts: int) -> bool:
        """Whether training that makes no progress reduces the rate instead of stopping."""
        return False


class Constant(Schedule):
    """The same rate in every epoch."""

    name = "constant"

    def factor(self, n_epochs_done: float, n_cuts: int) -> float:
        return 1.0


class InvScaling(Schedule):
    """(t + 1)^-1/2 in epoch t, counted from 0."""

    name = "invscaling"

    def factor(self, n_epochs_done: float, n_cuts: int) -> float:
        return float((math.floor(n_epochs_done) + 1) ** -POWER_T)


class Adaptive(Schedule):
    """A constant rate that is divided by 5 whenever training makes no progress."""

    name = "adaptive"

    def factor(self, n_epochs_done: float, n_cuts: int) -> float:
        return float(ADAPTIVE_DIVISOR**-n_cuts)

    def may_cut(self, n_cuts: int) -> bool:
        """Whether one more cut stays at or above `ADAPTIVE_FLOOR`."""
        return self.factor(0, n_cuts + 1) >= ADAPTIVE_FLOOR


class Cosine(Schedule):
    """Half a cosine from 1 to 0, which falls with every update.

    After `length` epochs it starts again at 1 (warm restarts, Loshchilov & Hutter 2017), so that
    warm starts and partial_fit continue to learn.
    """

    name = "cosine"

    def factor(self, n_epochs_done: float, n_cuts: int) -> float:
        progress = n_epochs_done % self.length / self.length
        return 0.5 * (1 + math.cos(math.pi * progress))


#: Schedules that the parameter ``learning_rate`` chooses from, by name.
SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule for schedule in (Constant, InvScaling, Adaptive, Cosine)
}


@dataclass
class TrainingData:
    """Rows to train on. The backend cuts them into minibatches.

    Attributes
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    target : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    n_samples_given : int
        Number of samples before equal ones were merged into one row.
    input_scales : ndarray of shape (n_features,) or None, default=None
        The network sees each column divided by its scale.
    augmented : Feed or None, default=None
        The rows with random changes, as the network learns from them. None: without changes.
    """

    X: Any
    target: np.ndarray
    sample_weight: np.ndarray | None
    n_samples_given: int
    input_scales: np.ndarray | None = None
    augmented: Feed | None = None
    _feed: Feed | None = None

    def feed(self, network: Network) -> Feed:
        """The rows as the network sees them. The first call prepares them."""
        if self._feed is None:
            factors = None if self.input_scales is None else 1 / self.input_scales
            self._feed = network.backend.feed(self.X, self.target, network.dtype, factors)
        return self._feed

    def minibatches(
        self, trainer: Trainer, order: np.ndarray | None, batch_size: int, *, learning: bool = False
    ) -> Iterator[tuple[Any, Any, np.ndarray | None]]:
        """Yield the inputs, targets and weights of every minibatch.

        Inputs are dense unless the trainer's substrate reads sparse ones. They are changed at
        random only if the network learns from them (`learning`).
        """
        feed = self.augmented if learning else None
        feed = self.feed(trainer.network) if feed is None else feed
        for rows, inputs, target in feed.minibatches(order, batch_size):
            if sparse.issparse(inputs) and not getattr(trainer.substrate, "reads_sparse", False):
                inputs = inputs.toarray()
            weight = None if self.sample_weight is None else self.sample_weight[rows]
            yield inputs, target, weight


def merged_rows(
    X: Any, target: np.ndarray, weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows of a lone minibatch, sorted, with equal rows merged and their weights added.

    Repeated rows then train like weights, and the order of the rows does not matter, to rounding.
    Without this, sums over the rows would be rounded in different orders. Some networks amplify
    such differences within a hundred epochs: homeostasis up to 1e-2, and tied feedback to 1e-6.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        A CSR matrix must store each entry once.
    target : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    X, target, weight : as given
        Weight stays None if no two rows are equal.
    """
    n_features = X.shape[1]
    # Any numbers without pattern do: they give different rows different sums.
    factors = np.sin(np.arange(1.0, n_features + target.shape[1] + 1))
    order = np.argsort(X @ factors[:n_features] + target @ factors[n_features:], kind="stable")
    X, target = X[order], target[order]
    differs = X[1:] != X[:-1]
    differs = np.diff(differs.indptr) > 0 if sparse.issparse(X) else differs.any(axis=1)
    is_first = np.r_[True, differs | (target[1:] != target[:-1]).any(axis=1)]
    weight = None if weight is None else weight[order]
    if is_first.all():
        return X, target, weight
    weight = np.bincount(np.cumsum(is_first) - 1, weight).astype(np.float64)
    return X[is_first], target[is_first], weight


@dataclass
class EpochRecord:
    """Summary of one epoch. Numbers of the nudged phase are 0 if the rule has none.

    Numbers of a phase are None if none of its minibatches was measured, see `Habit`.

    Attributes
    ----------
    loss : float
        Weighted mean loss of the free equilibria, each before the update of its minibatch. The fit
        loop adds the penalty.
    mean_batch_weight : float
        Mean over the minibatches of their total sample weight (of their rows, without weights).
    free_steps, nudged_steps : float
        Mean number of steps per sample.
    free_residual, nudged_residual : float
        Largest residual of a sample. That of the nudged phase is divided by ``|β|``.
    free_unconverged, nudged_unconverged : float
        Fraction of the samples that reached the limit of steps.
    """

    loss: float
    mean_batch_weight: float
    free_steps: float
    nudged_steps: float
    free_residual: float
    nudged_residual: float
    free_unconverged: float
    nudged_unconverged: float


class _PhaseTally:
    """Running totals of one phase over an epoch. On a device, they stay there until read."""

    def __init__(self, backend: ArrayBackend) -> None:
        self._backend = backend
        self._n_results = self._n_unmeasured = 0
        self._totals: tuple[Any, Any, Any] = (0, 0, 0.0)

    def add(self, result: Result) -> None:
        if result.residual is None:
            self._n_unmeasured += 1
            return
        self._n_results += result.n_steps.shape[0]
        steps, converged = result.n_steps.sum(), result.converged.sum()
        residual = result.residual.max()
        if not self._backend.is_device:
            steps, converged, residual = int(steps), int(converged), float(residual)
        largest = self._backend.xp.fmax if self._backend.is_device else max
        so_far = self._totals
        self._totals = (so_far[0] + steps, so_far[1] + converged, largest(so_far[2], residual))

    def summary(self, scale: float) -> tuple[Any, Any, Any]:
        """Mean steps, largest residual divided by `scale`, fraction unconverged."""
        n_results = self._n_results
        if n_results == 0:
            nothing = None if self._n_unmeasured else 0.0
            return nothing, nothing, nothing
        steps, converged, residual = self._backend.numbers(self._totals)
        return steps / n_results, residual / scale, (n_results - converged) / n_results


@ignoring_float_errors
def run_epoch(
    trainer: Trainer,
    data: TrainingData,
    *,
    batch_size: int,
    rate_factor: float | Callable[[float], float],
    shuffle_rng: np.random.RandomState | None,
    nudging_rng: np.random.RandomState,
    beta: float,
    average: WeightAverage | None = None,
) -> EpochRecord:
    """Train on every row once, minibatch by minibatch.

    Parameters
    ----------
    trainer : Trainer
    data : TrainingData
    batch_size : int
    rate_factor : float or callable
        Factor of the learning-rate schedule. A callable gets the fraction of the epoch that is
        done and returns the factor.
    shuffle_rng : RandomState or None
        Shuffles the rows. None: the rows keep their order.
    nudging_rng : RandomState
        For nudging that draws random numbers.
    beta : float
        The nudged residual is reported in units of ``|β|``.
    average : WeightAverage or None, default=None
        Takes in the weights after every update.

    Raises
    ------
    DivergenceError
        If a loss is not finite.
    """
    network = trainer.network
    free, nudged = _PhaseTally(network.backend), _PhaseTally(network.backend)
    n_samples = data.X.shape[0]
    order = None
    if shuffle_rng is not None and n_samples > batch_size:
        order = shuffle_rng.permutation(n_samples)  # on the host: the same on every backend
    total_loss = total_weight = 0.0
    n_batches = n_done = 0
    for inputs, target, weight in data.minibatches(trainer, order, batch_size, learning=True):
        batch_weight = _total_weight(inputs, weight)
        factor = rate_factor(n_done / n_samples) if callable(rate_factor) else rate_factor
        loss, credit = trainer.train_on(inputs, target, weight, factor, nudging_rng)
        if average is not None:
            average.take()
        total_loss += loss * batch_weight
        total_weight += batch_weight
        n_batches, n_done = n_batches + 1, n_done + inputs.shape[0]
        _tally(credit, free, nudged)
        del credit  # frees its states before the next minibatch
    free_steps, free_residual, free_unconverged = free.summary(1.0)
    nudged_steps, nudged_residual, nudged_unconverged = nudged.summary(abs(beta))
    return EpochRecord(
        loss=total_loss / total_weight,
        mean_batch_weight=total_weight / n_batches,
        free_steps=free_steps,
        nudged_steps=nudged_steps,
        free_residual=free_residual,
        nudged_residual=nudged_residual,
        free_unconverged=free_unconverged,
        nudged_unconverged=nudged_unconverged,
    )


def mean_loss(trainer: Trainer, data: TrainingData, batch_size: int) -> float:
    """Weighted mean loss of the free phases over all rows, without learning."""
    losses, weights = [], []
    for inputs, target, weight in data.minibatches(trainer, None, batch_size):
        losses.append(trainer.loss_of(inputs, target, weight))
        weights.append(_total_weight(inputs, weight))
    return float(np.average(losses, weights=weights))


def _total_weight(inputs: Any, weight: np.ndarray | None) -> float:
    return float(inputs.shape[0] if weight is None else weight.sum())


def _tally(credit: Credit, free: _PhaseTally, nudged: _PhaseTally) -> None:
    free.add(credit.free.result)
    for result in credit.nudged:
        nudged.add(result)
