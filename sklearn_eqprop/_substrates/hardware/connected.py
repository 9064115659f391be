"""Hardware that is connected to an estimator: it gets the weights, and its answers are checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.phases import FreePhase
from sklearn_eqprop._substrates.seam import Substrate
from sklearn_eqprop.exceptions import SubstrateError

#: Methods that every substrate has.
VERBS = ("settle", "settle_nudged", "local_change")


class Hardware(Protocol):
    """A description of hardware: a value of the parameter `substrate` of an estimator.

    It is a plain value, such as a dataclass: a copy equals it, and it can be pickled. The estimator
    connects new hardware in every ``fit``.
    """

    def connect(self, record: Network) -> Substrate:
        """Return a substrate that reads its parameters from `record` whenever it settles.

        Parameters
        ----------
        record : Network
            The parameters that the learner has set, ``record.parameters()``, and the shape of the
            network.

        Raises
        ------
        ValueError
            If the hardware cannot have this shape. The user gets the message in a `SubstrateError`.
        """


class ConnectedHardware:
    """The substrate of one estimator, with the learner's record that it reads.

    It passes every call on to the substrate of the user, names the call that fails, and checks
    shapes and numbers. If a `Result` does not say whether its samples settled, they count as
    settled.

    Parameters
    ----------
    description : Hardware
        It is copied, so that later changes of the description do not change this hardware.
    memory : object or None, default=None
        Memory of an earlier substrate of this kind (see `memory`). The new one restores it.

    Attributes
    ----------
    description : Hardware
    substrate : Substrate or None
        None before the first call of `place`.
    network : Network
        The record. Its arrays belong to this hardware.
    rate_coordinates : bool, default=False
        Whether synapses multiply displacements with the slopes of their units.

    Raises
    ------
    ValueError
        If the copy does not equal the description.
    """

    network: Network

    def __init__(self, description: Any, memory: Any = None) -> None:
        self.description = copy.deepcopy(description)
        if self.description != description:
            msg = (
                f"substrate={description!r} does not equal a copy of itself, so that changes "
                "cannot be seen. Make its class a dataclass, or write __eq__."
            )
            raise ValueError(msg)
        self.substrate: Any = None
        self.rate_coordinates = False
        self._stored = memory

    def __repr__(self) -> str:
        """Return the description."""
        return repr(self.description)

    def place(self, network: Network) -> Network:
        """Write the parameters of a network into the record, and return the record.

        The first call connects the hardware. So does a network of other sizes.
        """
        arrays = network.arrays
        if self.substrate is None or _kinds(self.network.arrays) != _kinds(arrays):
            record = copy.deepcopy(network)
            substrate = self._call("connect", self.description.connect, record)
            missing = [verb for verb in VERBS if not callable(getattr(substrate, verb, None))]
            if missing:
                raise SubstrateError(
                    f"{self!r}: connect returned a {type(substrate).__name__} without the "
                    f"method {missing[0]}. Write this method."
                )
            if self._stored is not None:
                self._call("restore", substrate.restore, self._stored)
            self.network, self.substrate, self._stored = record, substrate, None
        for own, given in zip(self.network.arrays, arrays, strict=True):
            if own is not given:
                own[...] = given
        return self.network

    @property
    def memory(self) -> Any:
        """The memory that a substrate needs to continue after it is connected again, or None.

        The substrate's method ``memory()`` returns it, and ``restore(memory)`` takes it.
        """
        remember = getattr(self.substrate, "memory", None)
        return self._stored if remember is None else self._call("memory", remember)

    @property
    def reads_sparse(self) -> bool:
        """Whether the substrate takes CSR arrays."""
        return bool(getattr(self.substrate, "reads_sparse", False))

    @property
    def pushes_away(self) -> bool:
        """Whether the substrate takes strengths below 0; True if it has no such attribute."""
        return bool(getattr(self.substrate, "pushes_away", True))

    def can(self, method: str) -> bool:
        """Return whether the substrate has a method."""
        return callable(getattr(self.substrate, method, None))

    def settle(self, inputs: Array) -> FreePhase:
        if sparse.issparse(inputs) and not self.reads_sparse:
            inputs = inputs.toarray()
        free: FreePhase = self._call("settle", self.substrate.settle, inputs)
        if not isinstance(free, FreePhase):
            raise SubstrateError(
                f"{self!r}: settle returned a {type(free).__name__}. "
                "Return FreePhase(inputs, Result(states))."
            )
        free.result = self._checked(free.result, "settle", inputs.shape[0])
        return free

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        call = f"settle_nudged (beta={', '.join(f'{beta:.3g}' for beta in strengths)})"
        arguments = (free, loss, target, strengths)
        results = list(self._call(call, self.substrate.settle_nudged, *arguments))
        if len(results) != len(strengths):
            raise SubstrateError(
                f"{self!r}: {call} returned {len(results)} results for {len(strengths)} strengths. "
                "Return one Result per strength."
            )
        return [
            self._checked(result, f"settle_nudged (beta={beta:.3g})", target.shape[0])
            for result, beta in zip(results, strengths, strict=True)
        ]

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        if self.rate_coordinates:
            layers = zip(self.network.activations, self.slopes(free), deltas, strict=True)
            deltas = [
                delta if rho.transmits_state or slope is None else slope * delta
                for rho, slope, delta in layers
            ]
        changes = list(self._call("local_change", self.substrate.local_change, free, deltas))
        blocks = self.network.parameters()
        if len(changes) != len(blocks):
            raise SubstrateError(
                f"{self!r}: local_change returned {len(changes)} arrays, but there are "
                f"{len(blocks)} blocks of parameters. Return one array per block of "
                "Network.parameters()."
            )
        for index, (change, block) in enumerate(zip(changes, blocks, strict=True)):
            if change is None and block.role == "feedback":
                continue
            where = f"{self!r}: local_change, block {index} ({block.role} into layer {block.layer})"
            changes[index] = self._array(change, block.array.shape, where)
        return changes

    def settle_clamped(self, free: FreePhase, target: Array) -> Result:
        if not self.can("settle_clamped"):
            raise SubstrateError(
                f"{self!r} cannot hold its output at a target: the substrate has no method "
                "settle_clamped. Use a finite beta."
            )
        result = self._call("settle_clamped", self.substrate.settle_clamped, free, target)
        return self._checked(result, "settle_clamped", target.shape[0])

    def __getattr__(self, name: str) -> Any:
        """Return a further method of the substrate. If it fails, the error names it."""
        # Before `substrate` is set, reading it would call __getattr__ again, without end.
        method = getattr(self.substrate, name, None) if "substrate" in vars(self) else None
        if not callable(method):
            raise AttributeError(name)
        return partial(self._call, name, method)

    def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception as error:
            problem = str(error).strip().rstrip(".")
            msg = f"{self!r}: {name} failed. {type(error).__name__}: {problem}."
            raise SubstrateError(msg) from error

    def _checked(self, result: Any, call: str, n_samples: int) -> Result:
        """Return the result with all its fields, and states copied to the type of the network."""
        if not isinstance(result, Result):
            raise SubstrateError(
                f"{self!r}: {call} returned a {type(result).__name__} instead of a Result. "
                "Return Result(states)."
            )
        sizes = self.network.layer_sizes
        if len(result.states) != len(sizes):
            raise SubstrateError(
                f"{self!r}: {call} returned the states of {len(result.states)} layers, but there "
                f"are {len(sizes)}. Return those of layers 1 to {len(sizes)}, without the input."
            )
        states = [
            self._array(state, (n_samples, size), f"{self!r}: {call}, layer {layer}")
            for layer, (state, size) in enumerate(zip(result.states, sizes, strict=True), 1)
        ]
        steps, residual, converged = result.n_steps, result.residual, result.converged
        return Result(
            states,
            np.zeros(n_samples, dtype=int) if steps is None else steps,
            np.zeros(n_samples) if residual is None else residual,
            np.ones(n_samples, dtype=bool) if converged is None else converged,
            result.drives,
            result.n_averaged,
        )

    def _array(self, given: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
        array = np.array(given, dtype=self.network.dtype)
        if array.shape != shape:
            raise SubstrateError(
                f"{where}: the shape is {array.shape}. Return an array of shape {shape}."
            )
        n_broken = array.size - int(np.isfinite(array).sum())
        if n_broken:
            raise SubstrateError(
                f"{where}: {n_broken} of {array.size} numbers are not finite. "
                "Look at the hardware, or scale the inputs and lower learning_rate_init."
            )
        return array


def _kinds(arrays: Sequence[Array]) -> list[tuple[Any, ...]]:
    return [(array.shape, array.dtype) for array in arrays]
