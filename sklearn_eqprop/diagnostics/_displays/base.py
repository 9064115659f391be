"""The base class of all displays."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

from sklearn_eqprop._backend import ignoring_float_errors


class Display:
    """A picture, with the interface of scikit-learn's displays.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the picture. Set by `plot`.
    figure_ : matplotlib Figure
        The figure of `ax_`. Set by `plot`.
    """

    ax_: Any
    figure_: Any
    #: Width and height of a new figure in inches.
    _size: tuple[float, float] = (6.4, 4.8)

    @ignoring_float_errors
    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        Display
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self._draw(self._axes(ax))
        return self

    def _axes(self, ax: Any) -> Any:
        """The given axes, or those of a new figure. Sets `ax_` and `figure_`."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            msg = (
                f"{type(self).__name__}.plot needs matplotlib: "
                'python -m pip install "sklearn-eqprop[plot]".'
            )
            raise ImportError(msg) from error
        if ax is None:
            _, ax = plt.subplots(figsize=self._size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax

    def _draw(self, ax: Any) -> None:
        """Draw the picture in some axes."""
        raise NotImplementedError


class ResultDisplay(Display):
    """A picture of the result of a diagnostic, which is the only field of a subclass."""

    #: The diagnostic, as a static method.
    _measure: ClassVar[Callable[..., Any]]

    @classmethod
    def from_estimator(cls, estimator: Any, *data: Any, ax: Any = None, **settings: Any) -> Self:
        """Measure and draw the result.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
            Fitted.
        *data, **settings
            X, y and further arguments, as for the diagnostic.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        Display
        """
        found = cls._measure(estimator, *data, **settings)
        return cls(found).plot(ax)  # type: ignore[call-arg]


def layer_colours(n_layers: int) -> list[Any]:
    """One colour per layer, from dark (next to the input) to light (the output)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    return [colours(0.9 * layer / max(n_layers - 1, 1)) for layer in range(n_layers)]
