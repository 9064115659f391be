"""Training: from rows and a network to the trained network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend, NumpyBackend
from sklearn_eqprop._backend.array_backend import Feed
from sklearn_eqprop._estimators.data.inputs import SMALLER_NETWORK
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays, check_weights_of_inputs
from sklearn_eqprop._estimators.fitting.loop import Observer, Run, run_training
from sklearn_eqprop._estimators.fitting.state import EndedBy, Outcome, TrainingState
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._losses import Loss, WrappedLoss
from sklearn_eqprop._network import LoopGainGuard, Network
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training.epoch import TrainingData, merged_rows
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters
from sklearn_eqprop.exceptions import DivergenceError

if TYPE_CHECKING:
    from sklearn_eqprop._estimators.fitting.checkpoint import Checkpoint

#: Tolerances of the nudged phase while training, for relaxations that solve one layer after the
#: other: for loops that the default `loop_gain` keeps weak, and for stronger loops. The first
#: downward sweep carries the nudge to every layer and leaves out only the loops. If they are weak,
#: that error is below the first number; otherwise a few more sweeps reach the second.
SWEPT_TOLERANCE = 0.25
STRONGLY_SWEPT_TOLERANCE = 0.1
#: Tolerances of the free and of the nudged phase for N-point nudging. Larger ones would hide what
#: more points gain.
N_POINT_TOLERANCES = (1e-5, 1e-4)


@dataclass(frozen=True)
class Fitted:
    """A trained network: arrays, targets and memory of training."""

    arrays: FittedArrays
    targets: Targets
    state: TrainingState


@dataclass(frozen=True)
class Trained:
    """How a call of fit or partial_fit ended.

    Attributes
    ----------
    fitted : Fitted
    n_epochs : int
        Epochs of this call.
    outcome : Outcome or DivergenceError
    """

    fitted: Fitted
    n_epochs: int
    outcome: Outcome | DivergenceError

    @property
    def is_complete(self) -> bool:
        """Whether training was neither interrupted nor diverged."""
        outcome = self.outcome
        return isinstance(outcome, Outcome) and outcome.ended_by is not EndedBy.INTERRUPT


def train(
    config: Config,
    rows: Rows,
    start: Fitted,
    backend: ArrayBackend,
    *,
    incremental: bool,
    validation_score: Callable[[Network], float] | None = None,
    observer: Observer | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train a network on rows, in ``partial_fit`` (`incremental`) for one epoch.

    The arrays and the state of `start` are changed in place. `validation_score` gives the score of
    a network on rows that are not trained on. If the file of the `checkpoint` exists, training
    continues from it.

    Raises
    ------
    ValueError
        If very small inputs have made weights too large for their type.
    DivergenceError
        If numbers stop being finite in the first epoch.
    """
    arrays, state = start.arrays, start.state
    run = Run(config, incremental, min(config.most_samples, rows.n_samples))
    n_epochs_before = state.n_epochs - (0 if checkpoint is None else checkpoint.progress.n_done)
    minibatches = f"minibatches of batch_size={run.batch_size} samples"
    remedy = f"Use a smaller batch_size, {SMALLER_NETWORK}"
    outcome: Outcome | DivergenceError
    try:
        with (
            arrays.facing_scaled_inputs(state.input_scales),
            backend.explaining_full_memory(minibatches, remedy),
        ):
            outcome = _train_on_backend(
                run, rows, start, backend, validation_score, observer, checkpoint
            )
    except DivergenceError as error:
        if incremental or state.n_epochs == n_epochs_before:
            raise
        # These memories hold numbers that diverged, and the best weights are gone.
        state.optimizer = state.guard_vectors = None
        state.forget_best()
        outcome = error
    if incremental and config.restore_best_weights:
        state.forget_best()
    if state.input_scales is not None:  # the weights have just been divided by them
        check_weights_of_inputs(arrays, rows.X)
    state.remember_weights(config.loop_bound, arrays.all)
    return Trained(start, state.n_epochs - n_epochs_before, outcome)


def _train_on_backend(
    run: Run,
    rows: Rows,
    start: Fitted,
    backend: ArrayBackend,
    validation_score: Callable[[Network], float] | None,
    observer: Observer | None,
    checkpoint: Checkpoint | None,
) -> Outcome:
    """Train on the backend, and bring the weights back; see `train`.

    As with `_prepare_and_train`, the caller must not hold arrays of the device.
    """
    config, arrays, state = run.config, start.arrays, start.state
    data = _training_data(config, rows, start, backend, lone=rows.n_samples <= run.batch_size)
    if checkpoint is not None:
        checkpoint.restore(arrays)
    averages = arrays.copy() if config.average_weights else None
    if state.latest is not None:  # the arrays are averages
        for array, latest in zip(arrays.all, state.latest, strict=True):
            array[...] = latest
    if state.guard_vectors is None and config.loop_bound is not None:
        # On the host, so that training starts from the same weights on every backend.
        at_start = arrays.network(config, NumpyBackend())
        state.guard_vectors = LoopGainGuard(at_start, config.loop_bound).vectors
    network = arrays.network(config, backend)
    if config.substrate is not None:
        network = config.substrate.place(network)
    trainer = assembled_trainer(config, network, start.targets.loss, state)
    average = None
    if averages is not None:
        from sklearn_eqprop._training.averaging import WeightAverage

        average = WeightAverage(network, averages.network(config, backend), state.n_averaged)
    try:
        return run_training(
            trainer, data, state, run, validation_score, observer, average, checkpoint
        )
    finally:  # if it diverges, the networks hold the last good weights
        arrays.take_from(network)
        state.latest, state.n_averaged = None, 0
        if averages is not None and average is not None:
            state.latest, state.n_averaged = arrays.copy().all, average.n_updates
            averages.take_from(average.network)
            for array, mean in zip(arrays.all, averages.all, strict=True):
                array[...] = mean


def _training_data(
    config: Config, rows: Rows, start: Fitted, backend: ArrayBackend, *, lone: bool
) -> TrainingData:
    """Return rows and targets as the epochs read them; `lone`: they are one minibatch."""
    arrays, state, loss = start.arrays, start.state, start.targets.loss
    target = start.targets.encode(rows.y, arrays.dtype)
    if isinstance(loss, WrappedLoss):
        loss.try_out(backend.xp, backend.from_host(target, target.dtype))
    state.constant_loss = state.untrained_loss = loss.constant_loss(target, rows.weight)
    if math.isfinite(state.constant_loss):
        losses = loss.value(np, np.zeros_like(target), target)
        at_zero = float(np.average(losses, weights=rows.weight))
        state.untrained_loss = max(state.constant_loss, at_zero)
    X, weight = rows.X, rows.weight
    augmented: Feed | None = None
    if config.augment is not None:
        from sklearn_eqprop._estimators.fitting.augmented import AugmentedRows

        augmented = AugmentedRows(config.augment, rows, target, backend, state)
    elif lone and rows.device is None:
        X, target, weight = merged_rows(X, target, weight)
    return TrainingData(X, target, weight, rows.n_samples, state.input_scales, augmented)


def assembled_trainer(
    config: Config, network: Network, loss: Loss, state: TrainingState
) -> Trainer:
    """Return everything that changes the parameters of a network, continuing from `state`."""
    guard = None
    if config.loop_bound is not None:
        guard = LoopGainGuard(network, config.loop_bound, state.guard_vectors)
    blocks = trained_parameters(network, config.feedback_rule)
    optimizer = config.optimizer_type(
        blocks, network.backend, state.optimizer, momentum=config.momentum
    )
    rule = config.rule(config.nudges, config.influence)
    settings = LearningSettings(
        config.layer_rates(network.n_layers),
        config.alpha,
        config.feedback_rule,
        config.layerwise_rescale,
        config.settles_in_units,
    )
    return Trainer(
        training_substrate(config, network, in_units=config.settles_in_units),
        network,
        rule,
        loss,
        optimizer,
        guard,
        settings,
        probe_rng=state.probe_rng,
    )


def training_substrate(config: Config, network: Network, *, in_units: bool = False) -> Any:
    """Return the substrate of a network in training; `in_units`: a `DeepNetwork`."""
    if config.substrate is not None:
        return config.substrate
    measured: dict[str, Any] = {
        "feedback_learns": config.feedback_rule.own_change(network.wiring),
        "rate_coordinates": config.reads_rates,
        "attenuated": config.rule.attenuated and not in_units,
    }
    if config.averages:
        from sklearn_eqprop._substrates.averaging import AveragingNetwork, RunLengths

        lengths = RunLengths(config.max_relax_iter, config.max_nudge_iter)
        return AveragingNetwork(network, config.step_size, lengths, records=True, **measured)
    relaxation = config.relaxation_type(config.step_size)
    limits = training_limits(config)
    if config.n_points:
        from sklearn_eqprop._substrates.complex_phases import ComplexPhases

        return ComplexPhases(network, relaxation, limits, lead=config.lead, **measured)
    kind = SimulatedNetwork
    if in_units:
        from sklearn_eqprop._substrates.deep import DeepNetwork

        kind = DeepNetwork
    return kind(
        network, relaxation, limits, lead=config.lead, repeats=config.weak_loops, **measured
    )


def training_limits(config: Config) -> SettlingLimits:
    """Return how closely and how long the two phases settle while training.

    The nudged phase settles in displacements, so that even a loose tolerance, relative to the force
    on each sample, leaves an accurate update.
    """
    rule = config.rule
    free, nudged = rule.free_tolerance, rule.nudged_tolerance
    if config.relax_tol != "auto":
        free = nudged = config.relax_tol
    elif config.n_points and rule.nudged:
        free, nudged = N_POINT_TOLERANCES
    elif rule.swept_tolerance and config.relaxation_type.solves_layers and config.step_size == 1:
        nudged = SWEPT_TOLERANCE if config.weak_loops else STRONGLY_SWEPT_TOLERANCE
    elif rule.moves_weights:  # the rest of the free movement goes into the weights, divided by β
        free *= min(1.0, 2 * abs(config.influence))
    most = config.max_relax_iter, config.max_nudge_iter
    return SettlingLimits(free, nudged, *most, literal=False)
