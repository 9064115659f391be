"""From an estimator's parameters to the machinery that settles and trains its network."""

from __future__ import annotations

import math
from typing import Any

from sklearn_eqprop._estimators.fitting.training_state import TrainingState
from sklearn_eqprop._estimators.parameters.parameters import (
    EXACT_GRADIENTS,
    UNTIED_LOOP_GAIN,
    layer_rates,
    loop_bound,
    reads_rates,
)
from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import LoopGainGuard, Network
from sklearn_eqprop._relaxation import RELAXATIONS, Enough
from sklearn_eqprop._rules import NUDGINGS, RULES, ClampedRule, CreditRule
from sklearn_eqprop._substrates.averaging import AveragingNetwork, RunLengths
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training import OPTIMIZERS
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters

#: relax_tol='auto' while training: only the displacement is needed, and it is settled in
#: coordinates of its own. Free phase, then nudged phase relative to the force on each sample.
FREE_TOLERANCE = 1e-2
NUDGED_TOLERANCE = 1e-2
#: The first downward sweep that solves its layers carries the push to every one of them; what it
#: leaves out is the loops, which the default safeguard keeps below the first of these. Strong
#: loops make up for the second in a few sweeps more.
SWEPT_TOLERANCE = 0.25
STRONGLY_SWEPT_TOLERANCE = 0.1
#: Of both phases where the gradient is to be exact, behind loops of any strength. Late in training
#: errors at the output are small, and what the free phase leaves must be smaller still.
EXACT_FREE_TOLERANCE = 1e-4
EXACT_NUDGED_TOLERANCE = 1e-3
#: Of the free phase before weights move with every change of the state.
CONTINUAL_FREE_TOLERANCE = 5e-6
#: relax_tol='auto' for predictions, by type of the weights.
PREDICTION_TOLERANCE = {"float32": 5e-6, "float64": 1e-10}


def prediction_substrate(
    parameters: dict[str, Any], network: Network, enough: Enough | None = None
) -> SimulatedNetwork | AveragingNetwork:
    """A network that settles as closely as predictions need, or is averaged.

    Parameters
    ----------
    parameters : dict
        The estimator's, see `EstimatorHooks._parameters`.
    network : Network
    enough : callable or None, default=None
        Samples that need not settle any further, see `Enough`; equilibria only.
    """
    if parameters["objective"] == "trajectory":
        return _averaging_network(parameters, network, records=False)
    tolerance = parameters["relax_tol"]
    if tolerance == "auto":
        tolerance = PREDICTION_TOLERANCE[network.dtype.name]
    limits = SettlingLimits(tolerance, tolerance, *_most_steps(parameters))
    relaxation, lead = _relaxation(parameters), lead_of_loops(parameters)
    return SimulatedNetwork(network, relaxation, limits, enough=enough, lead=lead)


def training_limits(parameters: dict[str, Any]) -> SettlingLimits:
    """How far the two phases settle while training."""
    tolerance = parameters["relax_tol"]
    if tolerance != "auto":
        free = nudged = tolerance
    elif parameters["gradient"] == "continual":
        # What is left unsettled would go into the weights.
        free, nudged = CONTINUAL_FREE_TOLERANCE, NUDGED_TOLERANCE
    elif parameters["gradient"] in EXACT_GRADIENTS:
        free, nudged = EXACT_FREE_TOLERANCE, EXACT_NUDGED_TOLERANCE
    else:
        free, nudged = FREE_TOLERANCE, NUDGED_TOLERANCE
        if parameters["relaxation"] == "gauss_seidel" and parameters["step_size"] == 1:
            weak = _loops_are_weak(parameters)
            nudged = SWEPT_TOLERANCE if weak else STRONGLY_SWEPT_TOLERANCE
    return SettlingLimits(free, nudged, *_most_steps(parameters), literal=False)


def lead_of_loops(parameters: dict[str, Any]) -> float:
    """By which share of itself feedback carries the output of a trained network further.

    About half the bound on the loops (benchmarks/results/recurrence.md: 2, 9, 27 and 52 % with a
    `loop_gain` of 0.05, 0.2, 0.5 and 0.9). Wherever a network has one equilibrium it decides on
    time alone.
    """
    bound = loop_bound(parameters)
    return 0.5 * (UNTIED_LOOP_GAIN if bound is None else bound)


def _loops_are_weak(parameters: dict[str, Any]) -> bool:
    """Whether loops are kept as weak as the default keeps those of untied feedback."""
    bound = loop_bound(parameters)
    return bound is not None and bound <= UNTIED_LOOP_GAIN


def credit_rule(parameters: dict[str, Any], network: Network) -> CreditRule:
    """The rule that `gradient`, `nudging` and `beta` ask for."""
    rule = ClampedRule if parameters["beta"] == math.inf else RULES[parameters["gradient"]]
    return rule(NUDGINGS[parameters["nudging"]], parameters["beta"])


def what_synapses_measure(parameters: dict[str, Any], network: Network) -> dict[str, Any]:
    """Options of a `SimulatedNetwork` that say what its synapses measure."""
    return {
        "feedback_learns": FEEDBACK_WAYS[parameters["feedback_learning"]]().own_change(
            network.wiring
        ),
        "rate_coordinates": reads_rates(parameters),
    }


def start_within_bound(parameters: dict[str, Any], network: Network, state: TrainingState) -> None:
    """Shrink feedback that makes loops too strong, before training that has no memory of them.

    On the host, wherever training goes on: it starts from the same weights to the last bit.

    Parameters
    ----------
    parameters : dict
        The estimator's, see `EstimatorHooks._parameters`.
    network : Network
        On the host; its feedback weights, with tied feedback the forward weights they are, are
        changed in place.
    state : TrainingState
    """
    bound = loop_bound(parameters)
    if bound is not None:
        state.guard_vectors = LoopGainGuard(network, bound).vectors


def assemble_trainer(
    parameters: dict[str, Any], network: Network, loss: Loss, state: TrainingState
) -> Trainer:
    """Everything that changes a network's parameters, going on from `state`.

    Parameters
    ----------
    parameters : dict
        The estimator's, see `EstimatorHooks._parameters`.
    network : Network
    loss : Loss
    state : TrainingState

    Returns
    -------
    Trainer
    """
    guard = None
    bound = loop_bound(parameters)
    if bound is not None:
        guard = LoopGainGuard(network, bound, state.guard_vectors)
    measured = what_synapses_measure(parameters, network)
    substrate: SimulatedNetwork | AveragingNetwork
    if parameters["objective"] == "trajectory":
        substrate = _averaging_network(parameters, network, records=True, **measured)
    else:
        substrate = SimulatedNetwork(
            network,
            _relaxation(parameters),
            training_limits(parameters),
            lead=lead_of_loops(parameters),
            **measured,
        )
    settings = LearningSettings(
        layer_rates(parameters["learning_rate_init"], network.n_layers),
        parameters["alpha"],
        FEEDBACK_WAYS[parameters["feedback_learning"]](),
        parameters["layerwise_rescale"],
    )
    optimizer = OPTIMIZERS[parameters["optimizer"]](
        trained_parameters(network, settings.feedback_learning),
        network.backend,
        state.optimizer,
        momentum=parameters["momentum"],
    )
    rule = credit_rule(parameters, network)
    return Trainer(
        substrate, network, rule, loss, optimizer, guard, settings, probe_rng=state.probe_rng
    )


def _relaxation(parameters: dict[str, Any]) -> Any:
    return RELAXATIONS[parameters["relaxation"]](parameters["step_size"])


def _averaging_network(
    parameters: dict[str, Any], network: Network, **options: Any
) -> AveragingNetwork:
    lengths = RunLengths(*_most_steps(parameters))
    return AveragingNetwork(network, parameters["step_size"], lengths, **options)


def _most_steps(parameters: dict[str, Any]) -> tuple[int, int]:
    return parameters["max_relax_iter"], parameters["max_nudge_iter"]
