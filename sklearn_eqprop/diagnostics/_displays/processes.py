"""Pictures of dynamics: error signals over time, and free phases from many starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop.diagnostics._displays.base import ResultDisplay, layer_colours
from sklearn_eqprop.diagnostics._good_parameter import GoodParameter, good_parameter
from sklearn_eqprop.diagnostics._processes import ErrorProcesses, error_processes


@dataclass(eq=False)
class ErrorProcessesDisplay(ResultDisplay):
    """The processes of Theorems 3 and 4 over time, one colour per layer.

    `from_estimator` also takes the `kind` of picture, see `plot`.

    Parameters
    ----------
    processes : ErrorProcesses
        From `error_processes`.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
    """

    processes: ErrorProcesses

    _measure = staticmethod(error_processes)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *data: Any, kind: str = "signals", ax: Any = None, **settings: Any
    ) -> Self:
        return cls(error_processes(estimator, *data, **settings)).plot(ax, kind=kind)

    def plot(self, ax: Any = None, *, kind: str = "signals") -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.
        kind : {'signals', 'updates', 'cosines'}, default='signals'
            'signals': sizes of S_l (solid) and σ_l (dashed). 'updates': sizes of Θ (solid) and
            ∫(∂μ/∂θ)^T σ (dashed), for all forward weights into a layer. 'cosines': of S_l with
            -σ_l (thin), and of -Θ with ∫(∂μ/∂θ)^T σ for these weights (thick).

        Returns
        -------
        ErrorProcessesDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `kind` is none of these.
        ImportError
            If matplotlib is not installed.
        """
        kinds = {"signals": self._signals, "updates": self._updates, "cosines": self._cosines}
        if kind not in kinds:
            msg = f"kind must be one of {', '.join(map(repr, kinds))}. Got {kind!r}."
            raise InvalidParameterError(msg)
        self._draw_kind = kinds[kind]
        return super().plot(ax)

    def _draw(self, ax: Any) -> None:
        self.lines_: list[Any] = []
        self._draw_kind(ax)
        # If all outputs are at their targets, there is no signal, and only the time 0.
        end = self.processes.times[-1] or 1.0
        ax.set(xlabel="time, in time constants of a unit", xlim=(0, end))
        ax.grid(alpha=0.3)

    def _signals(self, ax: Any) -> None:
        found = self.processes
        sizes = dict(enumerate(zip(found.S_size.T, found.sigma_size.T, strict=True), start=1))
        self._pairs(ax, sizes, ("S", "\\sigma"))
        # Signals far below the start are not of interest.
        largest = max(found.S_size.max(), found.sigma_size.max()) or 1.0
        ax.set(yscale="log", ylim=(1e-6 * largest, 2 * largest), ylabel="size in each layer")

    def _updates(self, ax: Any) -> None:
        found = self.processes
        sizes = {
            layer: (_joint_size(found.theta_size, columns), _joint_size(found.nu_size, columns))
            for layer, columns in self._forward_columns().items()
        }
        self._pairs(ax, sizes, ("\\Theta", "\\int(\\partial\\mu/\\partial\\theta)^T\\sigma"))
        ax.set(yscale="log", ylabel="size for the weights into each layer")

    def _cosines(self, ax: Any) -> None:
        found, columns = self.processes, self._forward_columns()
        for layer, colour in self._colours().items():
            of_weights = _joint_cosine(found, columns.get(layer, []))
            label = f"layer {layer}"
            self.lines_ += ax.plot(found.times, of_weights, color=colour, lw=2.5, label=label)
            self.lines_ += ax.plot(found.times, found.cosine[:, layer - 1], color=colour, lw=0.8)
        ax.axhline(0, color="grey", linewidth=0.8)
        self.lines_ += ax.plot([], [], color="grey", lw=2.5, label="weights: $-\\Theta$, $\\nu$")
        self.lines_ += ax.plot([], [], color="grey", lw=0.8, label="signals: $S$, $-\\sigma$")
        ax.set(ylim=(-1.05, 1.05), ylabel="cosine")
        ax.legend(loc="best", fontsize="small")

    def _pairs(self, ax: Any, sizes: Mapping[int, Any], names: tuple[str, str]) -> None:
        """Draw a solid and a dashed line per layer."""
        times, colours = self.processes.times, self._colours()
        for layer, pair in sizes.items():
            # A logarithmic axis cannot show a signal of size 0.
            solid, dashed = (np.where(size > 0, size, np.nan) for size in pair)
            colour = colours[layer]
            self.lines_ += ax.plot(times, solid, color=colour, label=f"layer {layer}")
            self.lines_ += ax.plot(times, dashed, color=colour, linestyle="--")
        for name, style, theorem in zip(names, ("-", "--"), (3, 4), strict=True):
            label = f"${name}$ (Theorem {theorem})"
            self.lines_ += ax.plot([], [], color="grey", linestyle=style, label=label)
        ax.legend(loc="best", fontsize="small")

    def _colours(self) -> dict[int, Any]:
        return dict(enumerate(layer_colours(self.processes.S_size.shape[1]), start=1))

    def _forward_columns(self) -> dict[int, list[int]]:
        """For each layer with forward weights into it, their columns."""
        found = self.processes
        columns: dict[int, list[int]] = {}
        for column, (role, layer) in enumerate(zip(found.roles, found.layers, strict=True)):
            if role == "forward":
                columns.setdefault(layer, []).append(column)
        return columns


def _joint_size(sizes: np.ndarray, columns: list[int]) -> np.ndarray:
    """Norm over several blocks, at every time."""
    return np.hypot.reduce(sizes[:, columns], axis=1)


def _joint_cosine(found: ErrorProcesses, columns: list[int]) -> np.ndarray:
    """Cosine of -Θ with ∫(∂μ/∂θ)^T σ over several blocks. NaN if one of them is 0."""
    shares = np.ones((len(found.times), len(columns)))
    both = np.ones(len(found.times), dtype=bool)
    for sizes in (found.theta_size, found.nu_size):
        joint = _joint_size(sizes, columns)
        shares *= sizes[:, columns] / np.where(joint > 0, joint, 1.0)[:, None]
        both &= joint > 0
    # The cosine of a block without a signal is NaN. It is left out of the sum.
    terms = np.where(shares > 0, found.theta_cosine[:, columns], 0.0) * shares
    return np.where(both, terms.sum(axis=1), np.nan)


@dataclass(eq=False)
class GoodParameterDisplay(ResultDisplay):
    """Histogram of the steps that free phases take from random starts.

    Parameters
    ----------
    result : GoodParameter
        From `good_parameter`.
    """

    result: GoodParameter

    _measure = staticmethod(good_parameter)
    _size = (6.4, 4.0)

    def _draw(self, ax: Any) -> None:
        found, steps = self.result, self.result.n_steps
        edges = np.linspace(steps.min() - 0.5, steps.max() + 0.5, min(np.ptp(steps) + 2, 60))
        n_settled = int(found.settled.sum())
        labels = (f"settled: {n_settled}", f"not settled: {steps.size - n_settled}")
        counts = [steps[found.settled], steps[~found.settled]]
        ax.hist(counts, edges, stacked=True, color=["C0", "C3"], label=labels)
        verdict = "a good parameter" if found.is_good else "not a good parameter"
        ax.set(
            xlabel="sweeps or steps from a random start",
            ylabel="starts",
            title=f"{verdict}: $dJ/d\\theta\\cdot\\nu$ = {found.slope:.2g}",
        )
        ax.legend()
