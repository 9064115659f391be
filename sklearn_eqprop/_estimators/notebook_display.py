"""What notebooks show of an estimator: scikit-learn's diagram, and the network below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.fitted.network_drawing import LayerCaption, network_svg
from sklearn_eqprop._estimators.parameters.connectivity import requested_wiring
from sklearn_eqprop._estimators.parameters.layers import hidden_layers
from sklearn_eqprop._estimators.training import Training
from sklearn_eqprop._network import feedback_gains


class NotebookDisplay(Training):
    """Adds the network to scikit-learn's diagram."""

    def _repr_html_inner(self) -> str:
        html: str = super()._repr_html_inner()
        return html + self._network_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._network_html()
        return bundle

    def _network_html(self) -> str:
        """The network as fitted, or as the parameters describe it; nothing if they do not."""
        try:
            if hasattr(self, "coefs_"):
                arrays = self._arrays()
                gains = feedback_gains(self._network(arrays, NumpyBackend()))
                layout = arrays.layout
                return network_svg(self._captions(layout.sizes), layout.wiring, gains)
            sizes = ("?", *hidden_layers(self.hidden_layer_sizes), "?")
            wiring = requested_wiring(self._parameters(), len(sizes) - 1)
            return network_svg(self._captions(sizes), wiring)
        except (ValueError, TypeError, KeyError):  # looking must work, whatever the parameters
            return ""

    def _captions(self, sizes: Iterable[Any]) -> list[LayerCaption]:
        sizes = list(sizes)
        last = len(sizes) - 1
        captions = [LayerCaption("input", f"{sizes[0]} features")]
        captions += [
            LayerCaption(f"layer {layer}", f"{sizes[layer]} {self.activation}")
            for layer in range(1, last)
        ]
        return [*captions, LayerCaption("output", f"{sizes[last]} linear")]
