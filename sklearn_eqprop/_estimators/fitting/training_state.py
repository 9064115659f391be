"""What steers training, and what it remembers between calls."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from sklearn_eqprop._estimators.fitted.model_file import packed_stream, unpacked_stream
from sklearn_eqprop._training.epoch import EpochRecord

#: Columns of ``relaxation_``.
RELAXATION_RECORDS = (
    "free_steps",
    "nudged_steps",
    "free_residual",
    "nudged_residual",
    "free_unconverged",
    "nudged_unconverged",
)


class EndedBy(Enum):
    """Why training ended."""

    LIMIT = "max_iter was reached"
    PATIENCE = "no more improvement"
    INTERRUPT = "the user interrupted it"
    CALLBACK = "a callback asked for it"


@dataclass(frozen=True)
class FitSettings:
    """The part of the estimator's parameters that steers the fit loop."""

    max_iter: int
    schedule_length: int
    batch_size: int
    learning_rate: str
    tol: float
    n_iter_no_change: int | None
    early_stopping: bool
    restore_best: bool
    shuffle: bool
    alpha: float
    beta: float
    averaged: bool
    verbose: int
    incremental: bool


@dataclass
class TrainingState:
    """All that training remembers between calls, besides the weights; NumPy and numbers only.

    Attributes
    ----------
    split_seed : int
        Of the split into training and validation rows.
    stream_seeds : dict of str to int or list of int
        What the random streams were seeded with.
    shuffle_rng, nudging_rng, probe_rng : RandomState
    input_scales : ndarray or None
        What training divides the columns of X by, see `column_scales`.
    optimizer : dict or None
        Memory of the optimiser.
    guard_vectors : list of ndarray or None
        Memory of the loop-gain safeguard.
    n_epochs, n_samples_seen, n_rate_cuts : int
    best_score, n_waiting : float, int
        Memory of `PatienceStop`.
    judged_by : tuple
        What `best_score` is a score of.
    loss_curve, validation_scores : list of float
    relaxation : dict of str to list of float
    guarded : tuple
        Fingerprint of the weights and the bound that `guard_vectors` belong to.
    constant_loss : float
        Loss of the best constant prediction on the training rows.
    penalty : float
        Part of the last loss that is the penalty on the weights.
    decay : float
        α divided by the mean total weight of a minibatch.
    kept_loss : float or None
        Loss on the training rows of weights that training went back to, from before or after its
        first epoch, if they may be no better than a constant prediction.
    signal : float
        β times the factor by which feedback attenuates the nudge on its way to the layer it reaches
        most weakly.
    """

    split_seed: int
    stream_seeds: dict[str, Any]
    shuffle_rng: np.random.RandomState
    nudging_rng: np.random.RandomState
    probe_rng: np.random.RandomState
    input_scales: np.ndarray | None = None
    optimizer: dict[str, Any] | None = None
    guard_vectors: list[np.ndarray] | None = None
    n_epochs: int = 0
    n_samples_seen: int = 0
    n_rate_cuts: int = 0
    best_score: float = -math.inf
    n_waiting: int = 0
    judged_by: tuple[Any, ...] = ()
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    relaxation: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in RELAXATION_RECORDS}
    )
    constant_loss: float = math.inf
    penalty: float = 0.0
    decay: float = 0.0
    kept_loss: float | None = None
    signal: float = math.inf
    guarded: tuple[Any, ...] = ()

    @classmethod
    def seeded(cls, split_seed: int, stream_seeds: dict[str, Any]) -> TrainingState:
        """State of training that has not begun."""
        streams: Any = {name: np.random.RandomState(seed) for name, seed in stream_seeds.items()}
        return cls(split_seed, stream_seeds, **streams)

    def __getstate__(self) -> dict[str, Any]:
        """What goes into a model file."""
        stored = dict(vars(self))
        del stored["relaxation"]  # it is an attribute of the estimator
        stored.pop("kept_loss", None)  # has been told
        for name, seed in self.stream_seeds.items():
            stored[name] = packed_stream(stored[name], seed)
        return stored

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """Restore what `__getstate__` gave."""
        streams = {
            name: unpacked_stream(stored[name], seed)
            for name, seed in stored["stream_seeds"].items()
        }
        self.__dict__.update(stored | streams)

    def copy(self, drawn: Collection[str]) -> TrainingState:
        """State that can be changed without touching this one.

        `drawn` names the random streams that will be drawn from; the others are shared, as copies
        of them take longer than a small update.
        """
        streams: Any = {name: _twin(getattr(self, name)) for name in drawn}
        return replace(
            self,
            **streams,
            optimizer=copy.deepcopy(self.optimizer),
            loss_curve=list(self.loss_curve),
            validation_scores=list(self.validation_scores),
            relaxation={name: list(values) for name, values in self.relaxation.items()},
        )

    def judge_by(self, *measure: Any) -> None:
        """Forget the best score, and what patience has done, if it measured something else."""
        if self.judged_by != measure:
            self.judged_by = measure
            self.best_score, self.n_waiting, self.n_rate_cuts = -math.inf, 0, 0

    def remember_weights(self, loop_gain: float | None, weights: Sequence[np.ndarray]) -> None:
        """Note which weights and which bound the safeguard's memory belongs to, if it has any."""
        has_any = self.guard_vectors is not None
        self.guarded = _fingerprint(loop_gain, weights) if has_any else ()

    def forget_weights_of_others(
        self, loop_gain: float | None, weights: Sequence[np.ndarray]
    ) -> None:
        """Drop the safeguard's memory if weights or bound have been changed since."""
        has_any = self.guard_vectors is not None
        if has_any and self.guarded != _fingerprint(loop_gain, weights):
            self.guard_vectors = None

    def record(self, epoch: EpochRecord, n_samples: int) -> None:
        """Take in what an epoch reported."""
        self.n_epochs += 1
        self.n_samples_seen += n_samples
        self.loss_curve.append(epoch.loss)
        for name in RELAXATION_RECORDS:
            self.relaxation[name].append(getattr(epoch, name))


def _twin(rng: np.random.RandomState) -> np.random.RandomState:
    """Another generator in the same state; a deep copy takes ten times as long."""
    twin = np.random.RandomState(0)
    twin.set_state(rng.get_state(legacy=False))
    return twin


def _fingerprint(loop_gain: float | None, weights: Sequence[np.ndarray]) -> tuple[Any, ...]:
    blocks = [block.ravel(order="K") for block in weights]
    with np.errstate(over="ignore", invalid="ignore"):
        # Not by a library of linear algebra, whose rounding depends on the number of threads.
        return (loop_gain, *(float(block.sum()) for block in blocks))
