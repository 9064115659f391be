"""A fitted estimator and data, prepared for the diagnostics.

This is the only module of the diagnostics that uses private parts of an estimator. The others ask
`Subject`, or read public parameters and fitted attributes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._backend.host import dense_rows
from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import validated_inputs, validated_pair
from sklearn_eqprop._estimators.data.rows import look_over
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.fitted.settle import (
    chunks,
    prediction_substrate,
    refuse_broken_weights,
    settle_rows,
)
from sklearn_eqprop._estimators.fitting.state import TrainingState
from sklearn_eqprop._estimators.fitting.train import training_substrate
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.architecture import is_integer
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.parameters.remedies import Situation, sentence
from sklearn_eqprop._estimators.targets import Labels, Targets
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import (
    RUNAWAY,
    Field,
    Origin,
    Relaxation,
    Result,
    SettleOptions,
)
from sklearn_eqprop._rules import CreditRule
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import DivergenceError

#: A sample counts as settled at this residual. In linear systems it is relative to the force.
TOLERANCE = 1e-12
#: Maximum number of sweeps or steps of every phase here.
MAX_STEPS = 2000
LIMITS = SettlingLimits(TOLERANCE, TOLERANCE, MAX_STEPS, MAX_STEPS, literal=False)


@dataclass(frozen=True)
class Quality:
    """How well a network predicts."""

    #: Name of the score.
    measure: str
    #: Score of the network, and of the best constant prediction.
    score: float
    constant_score: float
    #: The same for the mean loss.
    loss: float
    constant_loss: float

    @property
    def skill(self) -> float:
        """Score on a scale from 0, a constant prediction, to 1, perfect."""
        left = 1 - self.constant_score
        return (self.score - self.constant_score) / left if left > 0 else math.nan


@dataclass(frozen=True)
class Subject:
    """A fitted network in float64 on the host, and the data to examine it with.

    Phases settle with the relaxation of the estimator. If several equilibria exist, they therefore
    reach the same one as the estimator. They settle more closely, see `TOLERANCE`.
    """

    estimator: BaseEqProp
    config: Config
    network: Network
    #: A float64 array or a CSR matrix. Use `inputs` to read rows.
    X: Any
    #: Target states of the output layer. None if y was not given.
    target: Any
    loss: Loss
    #: Weight of each sample in the objective J, shape (n_samples, 1). Class weights are included;
    #: the sum is 1.
    shares: np.ndarray
    #: What the output layer stands for.
    targets: Targets
    #: Clean targets, before they are encoded.
    y: Any

    @property
    def n_samples(self) -> int:
        """Number of rows of X."""
        return int(self.X.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the estimator's own weights."""
        return self.estimator.coefs_[0].dtype

    # How the estimator settles and learns

    @property
    def _relaxation(self) -> Relaxation:
        return self.config.relaxation_type(self.config.step_size)

    @property
    def credit_rule(self) -> CreditRule:
        """The estimator's rule of credit assignment."""
        return self.config.rule(self.config.nudges, self.config.influence)

    @property
    def rescales_layers(self) -> bool:
        """Whether training undoes the attenuation of error signals, layer by layer."""
        return self.config.layerwise_rescale and self.config.rule.attenuated

    def substrate(self) -> SimulatedNetwork:
        """The network, settled up to rounding. All its synapses measure changes of the state."""
        return SimulatedNetwork(self.network, self._relaxation, LIMITS, lead=self.config.lead)

    def training_substrate(self, **changed: Any) -> SimulatedNetwork:
        """The network with tolerances and synapses as in training.

        `changed` has values to use in place of the estimator's parameters, such as ``beta=0.1``.
        """
        config = replace(self.config, **changed)
        return cast("SimulatedNetwork", training_substrate(config, self.network))

    def prediction(self) -> Result:
        """Free phase as `predict` computes it, in the estimator's dtype, with the output's states.

        States that are not finite raise no error. Their residuals are not finite.
        """
        arrays = FittedArrays.of(self.estimator)
        network = arrays.network(self.config, NumpyBackend())
        substrate = prediction_substrate(self.config, network)
        parts = [
            settle_rows(substrate, self.inputs(rows).astype(network.dtype), outputs_only=True)
            for rows in self.chunks()
        ]
        return Result.concatenate(parts, np)

    # How well it predicts, and how training went

    def quality(self, output: np.ndarray) -> Quality:
        """How well outputs predict y, compared with a constant prediction."""
        output = output.astype(np.float64)
        loss = float(self.loss.value(np, output, self.target) @ self.shares[:, 0])
        constant_loss = self.loss.constant_loss(self.target, self.shares[:, 0])
        score = self.targets.score(output, self.y, None) if np.isfinite(output).all() else math.nan
        measure, constant = "R²", 0.0
        if isinstance(self.targets, Labels):
            measure = "accuracy per label" if self.targets.multilabel else "accuracy"
            constant = self.targets.constant_score(self.y, None)
        return Quality(measure, score, constant, loss, constant_loss)

    @property
    def training(self) -> TrainingState:
        """The memory of training, for its losses."""
        state: TrainingState = self.estimator._training_state
        return state

    # What remedies depend on

    @cached_property
    def situation(self) -> Situation:
        """What decides whether a remedy can help."""
        standardised = look_over(self.X).standardised
        return Situation(self.config, self.dtype, standardised, alpha=self.estimator.alpha_)

    # Rows, and their free phases

    def chunks(self) -> Iterator[slice]:
        """Slices of rows that are examined together, to limit memory."""
        return chunks(self.n_samples, self.X.shape[1], self.network)

    def inputs(self, rows: slice) -> np.ndarray:
        """Some rows of X as a dense array."""
        return np.asarray(dense_rows(self.X, rows))

    def settle(self, rows: slice) -> FreePhase:
        """Free equilibria of some rows; raises DivergenceError if a state is not finite."""
        free = self.free_phase(rows)
        self.check_finite(free.result, "free phase")
        return free

    def free_phase(self, rows: slice) -> FreePhase:
        """Free phase of some rows. It may have settled or diverged."""
        return self.substrate().settle(self.inputs(rows))

    def check_finite(self, result: Result, phase: str) -> None:
        """Raise DivergenceError if a residual of a phase is not finite."""
        if not np.isfinite(result.residual).all():
            remedies = (ways.SCALE_INPUTS, *ways.WEAKER_LOOPS)
            msg = (
                f"The {phase} does not stay finite in float64: the weights or the inputs are too "
                f"large. {sentence(self.situation, *remedies)} Then fit again."
            )
            raise DivergenceError(msg)

    def warn_about_unsettled(self, caller: str, n_unsettled: int) -> None:
        """Warn if some states that a diagnostic used are not equilibria."""
        if n_unsettled:
            remedies = (ways.GAUSS_SEIDEL, ways.CHANGE_STEP_SIZE, *ways.WEAKER_LOOPS)
            warn_at_call(
                f"{caller}: {n_unsettled} of {self.n_samples} samples did not settle within "
                f"{MAX_STEPS} steps, so results for them do not describe an equilibrium. "
                f"{sentence(self.situation, *remedies)} good_parameter and health_report tell more."
            )

    def settle_field(
        self, field: Field, start: list[Any] | None, tolerance: Any, *, downward: bool = False
    ) -> Result:
        """Settle any field with the estimator's relaxation, for at most `MAX_STEPS` steps."""
        return self._relaxation.settle(field, start, tolerance, MAX_STEPS, downward=downward)

    def watch_steps(
        self,
        field: Field,
        start: Sequence[Any],
        n_steps: int,
        watch: Callable[[Sequence[Any]], None],
        *,
        downward: bool,
    ) -> Result:
        """Take steps of the estimator's relaxation; `watch` gets the states after each step.

        Some relaxations show the start, too. No sample stops, unless its states are not finite.
        """

        def none_may_stop(states: Sequence[Any], drives: Sequence[Any]) -> np.ndarray:
            watch(states)
            return np.zeros(len(states[-1]), dtype=bool)

        never = np.full(field.n_samples, -1.0)
        options = SettleOptions(enough=none_may_stop)
        return self._relaxation.settle(
            field, start, never, n_steps, downward=downward, options=options
        )

    def origin(self, free: FreePhase) -> Origin:
        """A free equilibrium in the form that fields of displacements need."""
        return self.substrate().origin(free, with_slopes=True)

    def force(self, free: FreePhase, rows: slice) -> np.ndarray:
        """-C_s, the force on the output of each sample at β = 1; 0 for outputs at a bound."""
        output = free.result.states[-1]
        slope = self.network.activations[-1].slope(np, output)
        return slope * self.loss.force(np, output, self.target[rows])


def subject_of(caller: str, estimator: Any, X: Any, y: Any = None, *, needs_y: bool) -> Subject:
    """Check the arguments of a diagnostic, the `caller`, and convert them to float64.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator of this package.
    NotFittedError
        If it is not fitted.
    ValueError
        If y is missing, if X or y do not match the estimator, or if the estimator has
        objective='trajectory'.
    DivergenceError
        If a weight is not finite.
    """
    check_estimator(caller, estimator)
    if estimator.objective == "trajectory":
        msg = (
            f"{caller} needs equilibria, but objective='trajectory' trains averages over time. To "
            "examine the equilibria, call set_params(objective='fixed_point') on a copy."
        )
        raise ValueError(msg)
    if needs_y and y is None:
        msg = f"{caller} needs y, got y=None. Pass the targets of X."
        raise ValueError(msg)
    # Of an estimator with hardware, the learner's record is examined.
    config = replace(Config.of(estimator), objective=estimator.objective, substrate=None)
    targets = estimator._targets.of(estimator, config)
    X, y, backend = on_host(X), on_host(y), NumpyBackend()
    if y is None:
        X, _ = validated_inputs(estimator, X, backend)
        target, weight = None, None
    else:
        X, y, _ = validated_pair(estimator, X, targets.plain(y), backend)
        y = targets.checked(y, config)
        target, weight = targets.encode(y, np.float64), targets.weight(y, None)
    arrays = FittedArrays.of(estimator).copy(np.float64)
    network = arrays.network(config, backend)
    refuse_broken_weights(network)
    X = X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    shares = _shares(weight, X.shape[0])
    return Subject(estimator, config, network, X, target, targets.loss, shares, targets, y)


def check_estimator(caller: str, estimator: Any) -> None:
    """Check that an argument of a diagnostic or display is a fitted estimator of this package.

    It raises TypeError if it is not an estimator of this package. It raises NotFittedError if it is
    not fitted.
    """
    if not isinstance(estimator, BaseEqProp):
        given = estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__
        msg = (
            f"{caller} needs a fitted EqPropClassifier or EqPropRegressor; estimator is {given}. "
            "For a pipeline, pass the last step, and X as that step sees it: pipeline[-1], "
            "pipeline[:-1].transform(X)."
        )
        raise TypeError(msg)
    check_is_fitted(estimator)


def check_count(name: str, value: Any, least: int) -> None:
    """Raise InvalidParameterError if an argument is not an integer of at least `least`."""
    if not is_integer(value, least):
        msg = f"{name} must be an integer of at least {least}. Got {value!r}."
        raise InvalidParameterError(msg)


def _shares(weight: np.ndarray | None, n_samples: int) -> np.ndarray:
    if weight is None:
        return np.full((n_samples, 1), 1 / n_samples)
    total = float(weight.sum())
    if total <= 0:
        msg = (
            "class_weight gives every sample a weight of 0. Pass samples of other classes, or "
            "change class_weight."
        )
        raise ValueError(msg)
    return (weight / total)[:, None]


def diverged(result: Result) -> np.ndarray:
    """Mask of the samples that diverged. Samples that settle slowly do not count."""
    return ~(result.converged | (result.residual <= RUNAWAY))  # True for NaN
