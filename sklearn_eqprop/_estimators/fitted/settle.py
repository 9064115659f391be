"""The equilibria of a fitted network for given rows of X."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import (
    ArrayBackend,
    NumpyBackend,
    available_backend,
    batches,
    ignoring_float_errors,
    stays_sparse,
)
from sklearn_eqprop._backend.array_backend import Array, Feed
from sklearn_eqprop._estimators.data.array_home import Home
from sklearn_eqprop._estimators.data.inputs import (
    FEWER_ROWS,
    SMALLER_NETWORK,
    rows_of,
    validated_inputs,
)
from sklearn_eqprop._estimators.data.rows import look_over
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.parameters.remedies import Remedy, Situation, sentence
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import FEWEST_ROWS_TO_DECIDE, Network, enough_to_decide
from sklearn_eqprop._network.certainty import IsDecided
from sklearn_eqprop._relaxation import RUNAWAY, Enough, Result
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import nudged_states
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import DivergenceError

#: Most rows that settle at once, and most numbers in one copy of their states (convolutional layers
#: may have many): this bounds the memory.
CHUNK_ROWS = 1024
CHUNK_NUMBERS = 2**23
#: Bytes of one copy of the states on the host. Larger temporaries are requested from the operating
#: system in every sweep, which is slow. Products of fewer rows than the least are slow too.
HOST_CHUNK_BYTES = 3 * 2**20
FEWEST_HOST_ROWS = 256
#: relax_tol='auto' for predictions, by type of the weights.
PREDICTION_TOLERANCE = {"float32": 5e-6, "float64": 1e-10}


Method = TypeVar("Method", bound=Callable[..., Any])


def explains_full_device(method: Method) -> Method:
    """Return a public method of a fitted estimator, whose first argument is X.

    It ignores floating-point errors, see `ignoring_float_errors`, and explains a full device.
    Settling has its own explanation. This one covers everything before and after it.
    """

    @ignoring_float_errors
    @wraps(method)
    def explaining(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        backend = prediction_backend(self)
        if not backend.is_device:
            return method(self, X, *args, **kwargs)
        with backend.explaining_full_memory(f"processing {rows_of(X)}", FEWER_ROWS):
            return method(self, X, *args, **kwargs)

    return cast("Method", explaining)


@dataclass(frozen=True)
class NudgeRequest:
    """A nudge of the output towards targets, in the second phase of `relax`."""

    loss: Loss
    #: Shape (n_samples, n_outputs).
    target: np.ndarray
    #: Not 0; infinity holds the output at the target.
    beta: float


@dataclass(frozen=True)
class Settled:
    """Equilibria, and the way back to the array library of X."""

    #: The states, of all layers or of the output alone, are arrays of `backend`. Everything else is
    #: NumPy's.
    result: Result
    backend: ArrayBackend
    home: Home
    config: Config

    @property
    def output(self) -> Array:
        """State of the output layer."""
        return self.result.states[-1]

    def give_back(self, array: Array) -> Any:
        """Return an array in the array library of X."""
        return self.home.give_back(array)

    def result_given_back(self) -> Result:
        """Return the result with its states in the array library of X."""
        return replace(self.result, states=[self.give_back(state) for state in self.result.states])


def settled(
    estimator: Any, X: Any, *, labels_only: bool = False, all_layers: bool = False
) -> Settled:
    """Return the free equilibrium of a fitted estimator for each row of X, as users pass it.

    `labels_only`: rows may stop as soon as their label is certain. `all_layers`: the states of all
    layers are kept, not those of the output alone.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X does not fit the estimator.
    DivergenceError
        If a state is not finite.
    """
    check_is_fitted(estimator)
    config, outputs_only = computing(estimator), not all_layers
    backend = prediction_backend(config)
    X, home = validated_inputs(estimator, X, backend)
    is_decided = None
    many = X.shape[0] >= FEWEST_ROWS_TO_DECIDE and not backend.is_device
    many = many and config.substrate is None
    # The user's own tolerance is kept, and averages have no equilibrium to predict.
    if labels_only and many and config.relax_tol == "auto" and not config.averages:
        is_decided = estimator._targets.of(estimator, config).is_decided
    arrays = FittedArrays.of(estimator)
    return settle_validated(
        config, arrays, backend, X, home, is_decided=is_decided, outputs_only=outputs_only
    )


def computing(estimator: Any) -> Config:
    """Return the parameters by which a fitted estimator computes, with its hardware."""
    config = Config.of(estimator)
    if config.substrate is None:
        return config
    from sklearn_eqprop._estimators.fitted.hardware import with_hardware

    return with_hardware(estimator, config)


def prediction_backend(chosen: Any) -> ArrayBackend:
    """Return the backend of a `Config` or a fitted estimator; NumPy's if there is no device.

    So a model that was fitted on a device predicts on machines without one.
    """
    return NumpyBackend() if chosen.backend == "numpy" else available_backend()


def settle_validated(
    config: Config,
    arrays: FittedArrays,
    backend: ArrayBackend,
    X: Any,
    home: Home,
    *,
    nudge: NudgeRequest | None = None,
    is_decided: IsDecided | None = None,
    outputs_only: bool = False,
) -> Settled:
    """Return the equilibria of rows that have been validated; warn if some are not reached.

    Without a `nudge` they are free. With `is_decided`, rows may stop as soon as it says that their
    label is certain, see `IsDecided`.
    """
    at_once = f"settling {min(X.shape[0], CHUNK_ROWS)} rows at once"
    remedy = f"Pass fewer rows than that, {SMALLER_NETWORK}"
    with backend.explaining_full_memory(at_once, remedy):
        result = _equilibria(config, arrays, backend, X, nudge, is_decided, outputs_only)
    return Settled(result, backend if home.on_device else NumpyBackend(), home, config)


def _equilibria(
    config: Config,
    arrays: FittedArrays,
    backend: ArrayBackend,
    X: Any,
    nudge: NudgeRequest | None,
    is_decided: IsDecided | None,
    outputs_only: bool,
) -> Result:
    network = arrays.network(config, backend)
    enough = None if is_decided is None else enough_to_decide(network, is_decided)
    substrate = prediction_substrate(config, network, enough, output_only=outputs_only)
    result = settle_rows(substrate, X, nudge=nudge, outputs_only=outputs_only)
    diverged = not np.isfinite(result.residual).all()
    if not diverged and result.converged.all():
        return result
    if diverged:
        refuse_broken_weights(network)
    beta = None
    if nudge is not None and settle_rows(substrate, X, outputs_only=True).converged.all():
        beta = nudge.beta
    explanation = _explained(config, arrays, X, result, beta)
    if diverged:
        raise DivergenceError(explanation)
    warn_at_call(explanation + _about_winners(config))
    return result


def _explained(
    config: Config, arrays: FittedArrays, X: Any, result: Result, beta: float | None
) -> str:
    """Return why some rows did not settle, and what to do.

    `beta` is the nudge if there is one and the free phase settles without it.
    """
    finding, diverged = result.finding, not np.isfinite(result.residual).all()
    if config.substrate is not None:
        return f"{finding} Give {config.substrate!r} more time, or lower loop_gain and fit again."
    remedies: tuple[Remedy, ...]
    if beta is not None:
        finding = (
            f"The free phase settles, but with beta={beta:g}, {finding[0].lower()}{finding[1:]}"
        )
        remedies = (Remedy("use a smaller |beta|"), ways.LOWER_STEP_SIZE)
        if (result.residual <= RUNAWAY).all() and not config.averages:
            remedies = (ways.RAISE_MAX_NUDGE, *remedies)
    elif diverged:
        finding += " The weights or the inputs are too large for these dynamics."
        remedies = (ways.SCALE_INPUTS, ways.FLOAT64, *ways.WEAKER_LOOPS, ways.LOWER_STEP_SIZE)
    elif config.averages:  # they ran away, which no further step ends
        remedies = (*ways.WEAKER_LOOPS, ways.CHANGE_STEP_SIZE, ways.SCALE_INPUTS)
    else:
        unsettled = (ways.CHANGE_STEP_SIZE, ways.GAUSS_SEIDEL)
        remedies = (ways.RAISE_MAX_RELAX, *ways.WEAKER_LOOPS, *unsettled)
    then = " Then fit again." if diverged and beta is None else ""
    on_host = isinstance(X, np.ndarray) or sparse.issparse(X)
    situation = Situation(config, arrays.dtype, on_host and look_over(X).standardised)
    return f"{finding} {sentence(situation, *remedies)}{then}"


def _about_winners(config: Config) -> str:
    """Return what to add if max pooling may be the reason why samples do not settle."""
    from sklearn_eqprop._estimators.parameters.checks import pooled_by_maximum

    if not pooled_by_maximum(config):
        return ""
    return (
        " The winners of max pooling may change for ever, and then more steps do not help: fit "
        "with pooling='average'."
    )


def prediction_substrate(
    config: Config, network: Network, enough: Enough | None = None, *, output_only: bool = False
) -> Any:
    """Return a substrate that settles as closely as predictions need, or averages.

    Averages cannot use `enough`, see `Enough`. `output_only`: see `SimulatedNetwork`. Hardware
    settles in its own way.
    """
    if config.substrate is not None:
        config.substrate.place(network)
        return config.substrate
    if config.averages:
        from sklearn_eqprop._substrates.averaging import AveragingNetwork, RunLengths

        lengths = RunLengths(config.max_relax_iter, config.max_nudge_iter)
        return AveragingNetwork(network, config.step_size, lengths, records=False)
    tolerance = config.relax_tol
    if tolerance == "auto":
        tolerance = PREDICTION_TOLERANCE[network.dtype.name]
    limits = SettlingLimits(tolerance, tolerance, config.max_relax_iter, config.max_nudge_iter)
    relaxation = config.relaxation_type(config.step_size)
    return SimulatedNetwork(
        network, relaxation, limits, output_only=output_only, enough=enough, lead=config.lead
    )


def settle_rows(
    substrate: Any,
    X: Any,
    *,
    nudge: NudgeRequest | None = None,
    feed: Feed | None = None,
    outputs_only: bool = False,
) -> Result:
    """Return the equilibrium of every row, computed in chunks, as host arrays.

    States that are not finite only show in the residual. If X lives on the backend's device, the
    states stay there. With a `nudge`, the equilibria are the nudged ones that follow from the free
    ones. An `AveragingNetwork` has averages instead.

    If the rows were prepared for repeated use, `feed` has them as the network reads them. X then
    only tells how many there are, and where they live.
    """
    network = substrate.network
    on_device = not (isinstance(X, np.ndarray) or sparse.issparse(X))
    parts = []
    for rows, inputs in _chunks_of_inputs(network, X, feed):
        result = _settled_chunk(substrate, inputs, rows, nudge)
        if outputs_only:
            result.states = result.states[-1:]
        parts.append(_reported(network, result, states_stay=on_device))
    return parts[0] if len(parts) == 1 else Result.concatenate(parts, network.backend.xp)


def _settled_chunk(
    substrate: Any, inputs: Array, rows: slice, nudge: NudgeRequest | None
) -> Result:
    """Return the equilibria of some rows; their nudged ones if there is a nudge."""
    free = substrate.settle(inputs)
    if nudge is None:
        return free.result
    network = substrate.network
    target = network.backend.from_host(nudge.target[rows], network.dtype)
    if math.isinf(nudge.beta):
        return nudged_states(free, substrate.settle_clamped(free, target))
    [moved] = substrate.settle_nudged(free, nudge.loss, target, (nudge.beta,))
    return nudged_states(free, moved)


def chunks(n_rows: int, n_numbers: int, network: Network) -> Iterator[slice]:
    """Return slices of rows, of `n_numbers` each, that a network settles at once."""
    return batches(n_rows, _rows_at_once(n_numbers, network))


def _rows_at_once(n_numbers: int, network: Network) -> int:
    n_states = sum(network.layer_sizes)
    rows = min(CHUNK_ROWS, max(1, CHUNK_NUMBERS // max(n_numbers, n_states)))
    if network.backend.is_device:
        return rows
    of_memory = HOST_CHUNK_BYTES // (n_states * network.dtype.itemsize)
    return min(rows, max(FEWEST_HOST_ROWS, of_memory))


def _chunks_of_inputs(network: Network, X: Any, feed: Feed | None) -> Iterator[tuple[slice, Array]]:
    """Yield the numbers of rows that settle at once, and their inputs as the network reads them."""
    n_rows, n_numbers = X.shape
    if not network.backend.is_device and stays_sparse(X):
        n_numbers = math.ceil(X.nnz / n_rows)
    if feed is not None:
        for rows, inputs, _ in feed.minibatches(None, _rows_at_once(n_numbers, network)):
            yield rows, inputs
        return
    for rows in chunks(n_rows, n_numbers, network):
        yield rows, network.backend.inputs(X, rows, network.dtype)


def _reported(network: Network, result: Result, *, states_stay: bool) -> Result:
    """Return a result on the host, without drives; its states may stay on the device."""
    result = replace(result, drives=None)
    if not network.backend.is_device:
        return result
    states, to_host = result.states, network.backend.to_host
    reported = replace(result, states=[]).map(to_host)
    return replace(reported, states=states if states_stay else [to_host(s) for s in states])


def refuse_broken_weights(network: Network) -> None:
    """Raise DivergenceError if weights are not finite."""
    names = {"forward": "coefs_", "feedback": "feedback_coefs_", "bias": "intercepts_"}
    for parameter in network.parameters():
        if not np.isfinite(network.backend.to_host(parameter.array)).all():
            msg = (
                f"{names[parameter.role]} into layer {parameter.layer} hold numbers that are not "
                "finite. Assign other weights, or fit again."
            )
            raise DivergenceError(msg)
