"""What every Display shares."""

from __future__ import annotations

from typing import Any


class Display:
    """A picture of a result, in the manner of scikit-learn's Displays.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure of `ax_`; set by `plot`.
    """

    ax_: Any
    figure_: Any

    def _axes(self, ax: Any, size: tuple[float, float] = (6.4, 4.8)) -> Any:
        """The given axes, or new ones; remembers them and their figure.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            msg = (
                f"{type(self).__name__}.plot needs matplotlib: "
                'python -m pip install "sklearn-eqprop[plot]".'
            )
            raise ImportError(msg) from error
        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def layer_colours(n_layers: int) -> list[Any]:
    """A colour a layer, from the input side (dark) to the output (light)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    return [colours(0.9 * layer / max(n_layers - 1, 1)) for layer in range(n_layers)]
