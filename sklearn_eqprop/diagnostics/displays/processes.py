"""Pictures of what moves: error signals through time, and free phases from many starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop.diagnostics.displays.base import Display, layer_colours
from sklearn_eqprop.diagnostics.error_processes import ErrorProcesses, error_processes
from sklearn_eqprop.diagnostics.good_parameter import GoodParameter, good_parameter


class ErrorProcessesDisplay(Display):
    """The processes of Theorems 3 and 4 over time, a colour a layer.

    Parameters
    ----------
    processes : ErrorProcesses
        From `error_processes`.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    """

    def __init__(self, processes: ErrorProcesses) -> None:
        self.processes = processes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        kind: str = "signals",
        ax: Any = None,
        **settings: Any,
    ) -> ErrorProcessesDisplay:
        """Measure and draw.

        Parameters
        ----------
        estimator, X, y
            As for `error_processes`.
        kind : {'signals', 'updates', 'cosines'}, default='signals'
            See `plot`.
        ax : matplotlib Axes, default=None
            Where to draw; None: a figure of its own.
        **settings
            Other parameters of `error_processes`.

        Returns
        -------
        ErrorProcessesDisplay
        """
        return cls(error_processes(estimator, X, y, **settings)).plot(ax, kind=kind)

    def plot(self, ax: Any = None, *, kind: str = "signals") -> ErrorProcessesDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.
        kind : {'signals', 'updates', 'cosines'}, default='signals'
            Sizes of S_l (solid) and σ_l (dashed); sizes of Θ and ∫(∂μ/∂θ)^T σ for the forward
            weights of each layer; or cosines: of S_l with -σ_l (thin) and of -Θ with
            ∫(∂μ/∂θ)^T σ for the forward weights (thick).

        Returns
        -------
        ErrorProcessesDisplay
            Itself.

        Raises
        ------
        ValueError
            If `kind` is none of these.
        """
        kinds = {"signals": self._signals, "updates": self._updates, "cosines": self._cosines}
        if kind not in kinds:
            msg = f"kind must be one of {', '.join(map(repr, kinds))}. Got {kind!r}."
            raise InvalidParameterError(msg)
        ax = self._axes(ax)
        self.lines_: list[Any] = []
        kinds[kind](ax)
        ax.set(xlabel="time, in time constants of a unit", xlim=(0, self.processes.times[-1]))
        ax.grid(alpha=0.3)
        return self

    def _signals(self, ax: Any) -> None:
        found = self.processes
        self._pairs(ax, found.S_size, found.sigma_size, ("S", "\\sigma"))
        # Far below the start there is nothing but the end of the recording.
        largest = np.nanmax([found.S_size.max(), found.sigma_size.max()])
        ax.set(yscale="log", ylim=(1e-6 * largest, 2 * largest), ylabel="size in each layer")

    def _updates(self, ax: Any) -> None:
        found, columns = self.processes, self._forward_columns()
        names = ("\\Theta", "\\int(\\partial\\mu/\\partial\\theta)^T\\sigma")
        self._pairs(ax, found.theta_size[:, columns], found.nu_size[:, columns], names)
        ax.set(yscale="log", ylabel="size for the weights into each layer")

    def _cosines(self, ax: Any) -> None:
        found, columns = self.processes, self._forward_columns()
        for layer, colour in enumerate(layer_colours(len(columns))):
            of_weights = found.theta_cosine[:, columns[layer]]
            label = f"layer {layer + 1}"
            self.lines_ += ax.plot(found.times, of_weights, color=colour, lw=2.5, label=label)
            self.lines_ += ax.plot(found.times, found.cosine[:, layer], color=colour, lw=0.8)
        ax.axhline(0, color="grey", linewidth=0.8)
        self.lines_ += ax.plot([], [], color="grey", lw=2.5, label="weights: $-\\Theta$, $\\nu$")
        self.lines_ += ax.plot([], [], color="grey", lw=0.8, label="signals: $S$, $-\\sigma$")
        ax.set(ylim=(-1.05, 1.05), ylabel="cosine")
        ax.legend(loc="best", fontsize="small")

    def _pairs(self, ax: Any, solid: np.ndarray, dashed: np.ndarray, names: Any) -> None:
        times = self.processes.times
        for layer, colour in enumerate(layer_colours(solid.shape[1])):
            label = f"layer {layer + 1}"
            # A logarithm has no room for a signal that has not arrived.
            of_S, of_sigma = (
                np.where(size[:, layer] > 0, size[:, layer], np.nan) for size in (solid, dashed)
            )
            self.lines_ += ax.plot(times, of_S, color=colour, label=label)
            self.lines_ += ax.plot(times, of_sigma, color=colour, linestyle="--")
        for name, style, theorem in zip(names, ("-", "--"), (3, 4), strict=True):
            label = f"${name}$ (Theorem {theorem})"
            self.lines_ += ax.plot([], [], color="grey", linestyle=style, label=label)
        ax.legend(loc="best", fontsize="small")

    def _forward_columns(self) -> list[int]:
        return [i for i, name in enumerate(self.processes.blocks) if name.startswith("F")]


class GoodParameterDisplay(Display):
    """Steps that free phases take from random starts, settled and not.

    Parameters
    ----------
    result : GoodParameter
        From `good_parameter`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    """

    def __init__(self, result: GoodParameter) -> None:
        self.result = result

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        ax: Any = None,
        n_starts: int = 10,
        random_state: Any = 0,
    ) -> GoodParameterDisplay:
        """Measure and draw.

        Parameters
        ----------
        estimator, X, y, n_starts, random_state
            As for `good_parameter`.
        ax : matplotlib Axes, default=None
            Where to draw; None: a figure of its own.

        Returns
        -------
        GoodParameterDisplay
        """
        found = good_parameter(estimator, X, y, n_starts=n_starts, random_state=random_state)
        return cls(found).plot(ax)

    def plot(self, ax: Any = None) -> GoodParameterDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        GoodParameterDisplay
            Itself.
        """
        ax, found = self._axes(ax, (6.4, 4.0)), self.result
        steps = found.n_steps
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
        return self
