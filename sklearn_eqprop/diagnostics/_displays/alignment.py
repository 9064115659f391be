"""Pictures for Theorem 1: gradient alignment, and the symmetry of A."""

from typing import Any, Self

import numpy as np

from sklearn_eqprop.diagnostics._alignment import GradientAlignment, gradient_alignment
from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._symmetry import JacobianSymmetry, jacobian_symmetry


class GradientAlignmentDisplay(Display):
    """Cosines of ν and of the estimator's update with -dJ/dθ, two bars per block.

    Parameters
    ----------
    alignment : GradientAlignment
        From `gradient_alignment`.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The cosines of ν, and those of the update.
    ax_, figure_ : matplotlib Axes and Figure
        The axes of the picture, and their figure. Set by `plot`.
    """

    def __init__(self, alignment: GradientAlignment) -> None:
        self.alignment = alignment
        self._size = (max(6.4, 0.55 * len(alignment.blocks) + 1.5), 4.2)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None) -> Self:
        """Measure and draw the result.

        Parameters
        ----------
        estimator, X, y
            As for `gradient_alignment`.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        GradientAlignmentDisplay
        """
        return cls(gradient_alignment(estimator, X, y)).plot(ax)

    def _draw(self, ax: Any) -> None:
        found = self.alignment
        names = [_subscript(block.name) for block in found.blocks] + ["all"]
        of_nu = [block.cosine for block in found.blocks] + [found.overall]
        of_update = [
            np.nan if block.update_cosine is None else block.update_cosine for block in found.blocks
        ]
        of_update.append(found.update)
        places = np.arange(len(names))
        self.bars_ = [
            ax.bar(places - 0.2, of_nu, 0.4, label="ν"),
            ax.bar(places + 0.2, of_update, 0.4, label="the estimator's update"),
        ]
        ax.axhline(0, color="black", linewidth=0.8)
        ax.axvline(len(names) - 1.5, color="grey", linewidth=0.8, linestyle=":")
        ax.set_xticks(places, names)
        lowest = np.nanmin([0.0, *of_nu, *of_update])
        ax.set(
            ylim=(-0.05 if lowest == 0 else max(1.15 * lowest, -1.05), 1.05),
            ylabel="cosine with $-dJ/d\\theta$",
            xlabel="block of parameters",
        )
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


class JacobianSymmetryDisplay(Display):
    """Histogram over the samples: the symmetry of A, with and without the leak.

    Parameters
    ----------
    symmetry : JacobianSymmetry
        From `jacobian_symmetry`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes of the picture, and their figure. Set by `plot`.
    """

    _size = (6.4, 4.0)

    def __init__(self, symmetry: JacobianSymmetry) -> None:
        self.symmetry = symmetry

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None, n_probes: int = 64, random_state: Any = 0
    ) -> Self:
        """Measure and draw the result.

        Parameters
        ----------
        estimator, X, n_probes, random_state
            As for `jacobian_symmetry`.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        JacobianSymmetryDisplay
        """
        found = jacobian_symmetry(estimator, X, n_probes=n_probes, random_state=random_state)
        return cls(found).plot(ax)

    def _draw(self, ax: Any) -> None:
        found = self.symmetry
        quantities = [
            ("A, with the leak of every unit", found.per_sample, found.symmetry),
            ("A + 1, the connections alone", found.coupling_per_sample, found.coupling),
        ]
        edges = np.linspace(0, 1.0 + 1e-9, 101)
        for index, (name, per_sample, overall) in enumerate(quantities):
            known = np.minimum(per_sample[np.isfinite(per_sample)], 1.0)
            if not known.size:
                continue
            colour = f"C{index}"
            ax.hist(known, edges, color=colour, alpha=0.6, label=f"{name}: {overall:.3f}")
            ax.axvline(overall, color=colour, linewidth=1.5)
        ax.axvline(np.sqrt(0.5), color="grey", linestyle=":", label="random weights: 0.707")
        ax.set(
            xlim=(0, 1.01),
            xlabel="$\\|(A + A^T)/2\\|_F \\,/\\, \\|A\\|_F$",
            ylabel="samples",
        )
        ax.legend(loc="upper left")


def _subscript(name: str) -> str:
    letter, _, layers = name.replace("→", r" \to ").partition("_")
    return f"${letter}_{{{layers}}}$"
