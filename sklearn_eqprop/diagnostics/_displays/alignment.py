"""Pictures for Theorem 1: gradient alignment, and the symmetry of A."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.diagnostics._alignment import GradientAlignment, gradient_alignment
from sklearn_eqprop.diagnostics._displays.base import ResultDisplay
from sklearn_eqprop.diagnostics._symmetry import JacobianSymmetry, jacobian_symmetry


@dataclass(eq=False)
class GradientAlignmentDisplay(ResultDisplay):
    """Cosines of ν and of the estimator's update with -dJ/dθ, two bars per block.

    Parameters
    ----------
    alignment : GradientAlignment
        From `gradient_alignment`.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The cosines of ν, and those of the update.
    """

    alignment: GradientAlignment

    _measure = staticmethod(gradient_alignment)

    def __post_init__(self) -> None:
        self._size = (max(6.4, 0.55 * len(self.alignment.blocks) + 1.5), 4.2)

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


@dataclass(eq=False)
class JacobianSymmetryDisplay(ResultDisplay):
    """Histogram over the samples: the symmetry of A, with and without the leak.

    Parameters
    ----------
    symmetry : JacobianSymmetry
        From `jacobian_symmetry`.
    """

    symmetry: JacobianSymmetry

    _measure = staticmethod(jacobian_symmetry)
    _size = (6.4, 4.0)

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
