"""Notebooks show scikit-learn's diagram with the network below it."""

from xml.etree import ElementTree

import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.fitted.drawing import LayerCaption, network_svg
from sklearn_eqprop._network import layered_wiring

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SVG = "{http://www.w3.org/2000/svg}"


def drawing(model):
    html = model._repr_html_()
    start = html.rindex("<svg")
    return html, ElementTree.fromstring(html[start : html.index("</svg>", start) + 6])


def texts(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


@KINDS
def test_layers_and_connections_of_a_fitted_network(binary, estimator):
    model = estimator(hidden_layer_sizes=(8, 5), max_iter=2).fit(*binary)
    html, svg = drawing(model)
    assert "sk-top-container" in html
    n_outputs = 2 if estimator is EqPropClassifier else 1
    assert [text for text in texts(svg) if "γ" not in text] == [
        *("input", "6 features", "layer 1", "8 relu", "layer 2", "5 relu"),
        *("output", f"{n_outputs} linear"),
    ]
    assert sum("γ" in text for text in texts(svg)) == 2
    arrows = [path for path in svg.iter(f"{SVG}path") if path.get("marker-end")]
    assert [path.get("marker-end") for path in arrows] == (
        ["url(#eqprop-forward)"] * 3 + ["url(#eqprop-feedback)"] * 2
    )


def test_any_graph(binary):
    pairs = [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3), (1, 1)]
    model = EqPropClassifier(hidden_layer_sizes=(3, 3), connections=pairs, max_iter=2)
    for fitted in (model, model.fit(*binary)):
        _, svg = drawing(fitted)
        assert sum(1 for path in svg.iter(f"{SVG}path") if path.get("marker-end")) == 7
        assert "4 forward and 3 feedback" in svg.get("aria-label")


@KINDS
def test_before_fit_and_with_parameters_that_make_no_network(estimator):
    _, svg = drawing(estimator(hidden_layer_sizes=7))
    assert "7 relu" in texts(svg)
    assert "? features" in texts(svg)
    html = estimator(hidden_layer_sizes="many", connections=3)._repr_html_()
    assert "sk-top-container" in html
    assert "eqprop-forward" not in html
    bundle = estimator()._repr_mimebundle_()
    assert "eqprop-forward" in bundle["text/html"]
    with config_context(display="text"):
        assert not hasattr(estimator(), "_repr_html_")
        assert "text/html" not in estimator()._repr_mimebundle_()


def test_in_a_pipeline_scikit_learn_draws_alone():
    html = make_pipeline(StandardScaler(), EqPropClassifier())._repr_html_()
    assert "EqPropClassifier" in html


def test_names_are_escaped():
    captions = [LayerCaption("<b>", "<i>"), LayerCaption("output", "")]
    picture = network_svg(captions, layered_wiring(1))
    assert "<b>" not in picture
    assert "<i>" not in picture
    assert "&lt;b&gt;" in picture
