"""The parameters of an estimator as one typed, frozen value."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from sklearn.base import clone

from sklearn_eqprop._estimators.parameters.architecture import hidden_layers, is_integer
from sklearn_eqprop._feedback import FEEDBACK_WAYS, FeedbackLearning
from sklearn_eqprop._losses import LABEL_LOSSES, NUMBER_LOSSES, Loss, WrappedLoss
from sklearn_eqprop._network import ACTIVATIONS, SHALLOW, Activation, Conv2D, layered_wiring
from sklearn_eqprop._relaxation import RELAXATIONS, Relaxation
from sklearn_eqprop._rules import NUDGINGS, RULES, CreditRule
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._rules.n_points import NPoints
from sklearn_eqprop._rules.vector_field import Nudging, VectorFieldRule
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._training import OPTIMIZERS, Optimizer

AnyLoss = TypeVar("AnyLoss", bound=Loss)

#: loop_gain='auto' of up to `SHALLOW` hidden layers. Weak feedback is enough.
AUTO_LOOP_GAIN = 0.2
#: batch_size='auto' is at most this, as in scikit-learn's MLP.
AUTO_BATCH_SIZE = 200
#: Parameters that say what a network computes. A fitted network keeps those of its last fit.
OF_NETWORK = (
    "hidden_layer_sizes",
    "activation",
    "output_activation",
    "feedback",
    "objective",
    "connections",
    "loop_gain",
    "loss",
)


@dataclass(frozen=True)
class Config:
    """The parameters of an estimator, with NumPy's numbers as Python's.

    The attributes have the names, values and meanings of the estimators' parameters. The
    properties are what these values stand for.
    """

    hidden_layer_sizes: Any
    activation: str
    output_activation: str
    feedback: str
    gradient: str
    credit_coordinates: str
    nudging: Any
    feedback_init: str
    feedback_scale: float
    feedback_learning: str
    objective: str
    connections: Any
    loop_gain: Any
    layerwise_rescale: bool
    beta: Any
    relaxation: str
    step_size: float
    max_relax_iter: int
    max_nudge_iter: int
    relax_tol: Any
    loss: Any
    optimizer: str
    learning_rate_init: Any
    learning_rate: str
    momentum: float
    alpha: Any
    batch_size: Any
    max_iter: int
    early_stopping: bool
    validation_fraction: float
    scoring: Any
    restore_best_weights: bool
    average_weights: bool
    n_iter_no_change: int | None
    tol: float
    shuffle: bool
    augment: Any
    warm_start: bool
    checkpoint: Any
    verbose: bool | int
    random_state: Any
    class_weight: Any
    label_smoothing: float | None
    transform_layers: Any
    input_shape: Any
    backend: str
    dtype: str
    substrate: Any

    @classmethod
    def of(cls, estimator: Any) -> Config:
        """Return the parameters by which an estimator computes.

        Those of `OF_NETWORK` are as in the last fit, whatever ``set_params`` has changed since. An
        estimator that is not fitted has those of `requested`.

        It raises InvalidParameterError if a parameter has a wrong type or range.
        """
        config = cls.requested(estimator)
        fitted = vars(estimator).get("_network_parameters", {})
        if all(value is getattr(config, name) for name, value in fitted.items()):
            return config
        return replace(config, **fitted)

    @classmethod
    def requested(cls, estimator: Any) -> Config:
        """Return the parameters of an estimator as they are set, for the next fit.

        scikit-learn validates types and ranges in ``fit`` and in the first ``partial_fit``. If
        ``set_params`` has changed a parameter of a fitted estimator, they are validated here.

        It raises InvalidParameterError if a parameter has a wrong type or range.
        """
        if not are_checked(estimator):
            estimator._validate_params()
        config = cls(*map(_plain, given_parameters(estimator)))
        if config.substrate is None or config.backend != "auto":
            return config
        return replace(config, backend="numpy")  # hardware takes and returns NumPy arrays

    @property
    def of_network(self) -> dict[str, Any]:
        """The parameters that a fitted network keeps."""
        kept = {name: getattr(self, name) for name in OF_NETWORK}
        if hasattr(self.loss, "get_params"):  # set_params(loss__tau=...) changes the user's object
            kept["loss"] = clone(self.loss)
        return kept

    @cached_property
    def hidden(self) -> tuple[int | Conv2D, ...]:
        """Units, or the convolution, of each hidden layer."""
        return hidden_layers(self.hidden_layer_sizes)

    @property
    def rho(self) -> Activation:
        """Activation of the hidden units."""
        return ACTIVATIONS[self.activation]

    @property
    def output_rho(self) -> Activation:
        """Activation of the output."""
        return ACTIVATIONS[self.output_activation]

    @property
    def tied(self) -> bool:
        """Whether feedback uses the transposed forward weights."""
        return self.feedback == "tied"

    @property
    def averages(self) -> bool:
        """Whether the objective is an average along a trajectory instead of a fixed point."""
        return self.objective == "trajectory"

    @property
    def influence(self) -> float:
        """Influence parameter β; 'auto' is that of the credit rule."""
        return RULES[self.gradient].auto_beta if self.beta == "auto" else self.beta

    @property
    def clamps(self) -> bool:
        """Whether the output is held at the target in the second phase.

        A rule that is not nudged has no use for β, even if it is infinite.
        """
        return self.beta == math.inf and RULES[self.gradient].nudged

    @property
    def rule(self) -> type[CreditRule]:
        """Credit rule."""
        return ClampedRule if self.clamps else RULES[self.gradient]

    @property
    def n_points(self) -> int:
        """Number of complex strengths of the nudge; 0 if strengths are real."""
        return 0 if isinstance(self.nudging, str) else self.nudging

    @property
    def nudges(self) -> Nudging:
        """How ds/dβ is estimated.

        'auto' is one-sided for losses that are quadratic or nearly so. At a large β, one-sided
        nudges round off the kinks of other losses: they would learn wrong quantiles.
        """
        if self.n_points:
            return NPoints(self.n_points)
        if self.nudging != "auto":
            return NUDGINGS[self.nudging]
        losses = LABEL_LOSSES | NUMBER_LOSSES
        curvature = losses[self.loss].curvature if isinstance(self.loss, str) else math.inf
        return NUDGINGS["one_sided" if 0 < curvature < math.inf else "centered"]

    @property
    def pushes_away(self) -> bool:
        """Whether a nudged phase moves the output away from its target."""
        return self.nudges.both_signs or self.influence < 0

    @property
    def nudge_strength(self) -> float:
        """How far the second phase moves the output, in units of its error.

        A clamped output moves as far as its error. A linear system has no nudge.
        """
        return 1.0 if self.clamps or not self.rule.nudged else abs(self.influence)

    @property
    def feedback_rule(self) -> FeedbackLearning:
        """How feedback weights learn."""
        return FEEDBACK_WAYS[self.feedback_learning]()

    @property
    def aligns(self) -> bool:
        """Whether feedback is, or becomes, the transposed forward weights except for its size.

        Homeostasis leads there except for average slopes, see `_feedback.homeostasis`.
        """
        return self.tied or self.feedback_rule.aligns

    @property
    def relaxation_type(self) -> type[Relaxation]:
        """How the network settles."""
        return RELAXATIONS[self.relaxation]

    @property
    def optimizer_type(self) -> type[Optimizer]:
        """Optimiser."""
        return OPTIMIZERS[self.optimizer]

    @property
    def n_deep(self) -> int:
        """Number of hidden layers, if more than `SHALLOW` dense ones are in a row; otherwise 0."""
        in_a_row = self.connections is None or (
            sorted(map(tuple, self.connections))
            == sorted(layered_wiring(len(self.hidden) + 1).pairs)
        )
        in_a_row = in_a_row and not any(isinstance(entry, Conv2D) for entry in self.hidden)
        return len(self.hidden) if in_a_row and len(self.hidden) > SHALLOW else 0

    @property
    def loop_bound(self) -> float | None:
        """Bound on the gain of the feedback loops; None: no bound.

        'auto' divides it in deep networks, so that all loops together carry about as much as those
        of `SHALLOW` hidden layers. Otherwise each layer would add to what feedback moves.
        """
        if self.loop_gain != "auto":
            return self.loop_gain
        return AUTO_LOOP_GAIN * (SHALLOW / max(self.n_deep, SHALLOW))

    @property
    def settles_in_units(self) -> bool:
        """Whether the attenuation of the error signal is undone while a deep network settles."""
        plain = self.rule is VectorFieldRule and not self.averages and not self.n_points
        plain = plain and self.substrate is None
        return bool(self.n_deep) and self.layerwise_rescale and plain

    @property
    def weak_loops(self) -> bool:
        """Whether the loops are at most as strong as the default allows."""
        return self.loop_bound is not None and self.loop_bound <= AUTO_LOOP_GAIN

    @property
    def lead(self) -> float:
        """By which share of itself feedback carries the output beyond the feedforward pass.

        It is about half the bound on the loops (benchmarks/results/recurrence.md: 2, 9, 27 and
        52 % with a `loop_gain` of 0.05, 0.2, 0.5 and 0.9). If the network has one equilibrium, this
        number affects the time only.
        """
        return 0.5 * (AUTO_LOOP_GAIN if self.loop_gain in (None, "auto") else self.loop_gain)

    @property
    def rates_differ(self) -> bool:
        """Whether displacements of some hidden units' rates differ from those of their states."""
        return bool(self.hidden) and not self.rho.transmits_state

    @property
    def reads_rates(self) -> bool:
        """Whether weights learn from displacements of rates instead of states.

        'auto' uses rates in two cases: if ``beta=inf``; and if the activation is smooth, feedback
        is tied or aligns itself, and the rule is 'vector_field'. In the second case rates make
        the rule exact, except for one factor per layer ('homeostasis': nearly exact).
        """
        if self.credit_coordinates != "auto":
            return self.credit_coordinates == "rate"
        if self.rule.auto_coordinates != "rate_if_aligned":
            return self.rule.auto_coordinates == "rate"
        return self.aligns and not self.rho.transmits_state

    @property
    def most_samples(self) -> int:
        """Most samples of a minibatch."""
        return AUTO_BATCH_SIZE if self.batch_size == "auto" else self.batch_size

    @property
    def judges_by(self) -> tuple[Any, ...]:
        """What the score of an epoch depends on, besides the data and the weights."""
        return (
            *(self.early_stopping, self.restore_best_weights, self.alpha, self.most_samples),
            *(self.activation, self.output_activation, self.objective, _told(self.loss)),
            *(self.relaxation, self.step_size, self.max_relax_iter, self.relax_tol),
            *(_told(self.scoring), _told(self.augment), self.label_smoothing),
            *(self.average_weights, repr(self.substrate)),
        )

    def loss_from(self, registry: Mapping[str, type[AnyLoss]]) -> AnyLoss | WrappedLoss:
        """Return the loss: one of `registry` by its name, or the user's own in a `WrappedLoss`."""
        return registry[self.loss]() if isinstance(self.loss, str) else WrappedLoss(self.loss)

    def layer_rates(self, n_layers: int) -> tuple[float, ...]:
        """Return the learning rate of each of the layers 1..L, given as one or as one for each.

        In deep networks each hidden layer after the first adds to the identity, and their steps add
        up. If one rate is given, theirs is divided by sqrt(n_deep), as their weights at the start.
        """
        given = self.learning_rate_init
        rates = (given,) * n_layers if np.ndim(given) == 0 else tuple(given)
        valid = all(isinstance(rate, Real) and 0 < float(rate) < math.inf for rate in rates)
        if len(rates) != n_layers or not valid:
            msg = (
                "The 'learning_rate_init' parameter must be a positive number, or one for each of "
                f"the {n_layers} layers, input side first. Got {given!r}."
            )
            raise InvalidParameterError(msg)
        shares = [1.0] * n_layers
        if self.n_deep and np.ndim(given) == 0:
            shares[1:-1] = [1 / math.sqrt(self.n_deep)] * (n_layers - 2)
        return tuple(float(rate) * share for rate, share in zip(rates, shares, strict=True))

    def chosen_layers(self, n_layers: int) -> tuple[int, ...]:
        """Return the layers whose states `transform` returns; refuse others than the network's."""
        given = self.transform_layers
        if given is None:
            return tuple(range(1, n_layers))
        entries = [given] if np.ndim(given) == 0 else list(given)
        if not entries or not all(is_integer(e, 1) and e <= n_layers for e in entries):
            msg = (
                "The 'transform_layers' parameter must be None, or one or more layers from 1, the "
                f"first hidden layer, to {n_layers}, the output. Got {given!r}."
            )
            raise InvalidParameterError(msg)
        return tuple(int(entry) for entry in entries)


_NAMES = tuple(field.name for field in fields(Config))


def given_parameters(estimator: Any) -> tuple[Any, ...]:
    """Return the very objects that the constructor or ``set_params`` was given, in Config's order.

    A regressor has no `class_weight` and no `label_smoothing`: they count as None.
    """
    return tuple(getattr(estimator, name, None) for name in _NAMES)


def are_checked(estimator: Any) -> bool:
    """Return whether the parameters are still the objects that a fit has validated."""
    checked = vars(estimator).get("_checked_parameters")
    return checked is not None and all(map(operator.is_, given_parameters(estimator), checked))


def loss_of(estimator: Any) -> Any:
    """Return the loss of the last fit; the parameter `loss` of an estimator that is not fitted."""
    return vars(estimator).get("_network_parameters", vars(estimator))["loss"]


def _plain(value: Any) -> Any:
    """Return Python's own number for one of NumPy's, which a grid over `linspace` holds.

    A product of a NumPy number and an array has the wider type of the two (NEP 50): one
    ``np.float64(0.8)`` would turn all float32 states into float64.
    """
    if not isinstance(value, np.generic):
        return value
    return float(value) if isinstance(value, np.floating) else value.item()


def _told(choice: Any) -> str:
    """Return the name of a loss or a scorer; of an object, its class and its attributes."""
    if not hasattr(choice, "__dict__") or hasattr(choice, "__code__"):  # a string or a function
        return repr(choice)
    return f"{type(choice)} {vars(choice)}"
