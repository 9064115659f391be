"""What goes into a model file: all that training needs to go on exactly, in few bytes."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Any

import numpy as np

from sklearn_eqprop._network import Layout, Wiring
from sklearn_eqprop._network.conv2d import ConvGeometry

#: Counts up when what is stored changes; `unpacked_estimator` must read all formats up to it.
MODEL_FORMAT = 1
#: What skops finds in a model file beyond scikit-learn and NumPy: the estimators, what training
#: remembers, and the convolutions a user asks for. All are data.
TRUSTED_TYPES = (
    "sklearn_eqprop._estimators.classifier.EqPropClassifier",
    "sklearn_eqprop._estimators.regressor.EqPropRegressor",
    "sklearn_eqprop._estimators.fitting.training_state.TrainingState",
    "sklearn_eqprop._network.conv2d.Conv2D",
)
#: Attributes of an estimator that are not stored.
_PASSING = ("_checked_parameters",)


def packed_estimator(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of an estimator as they are stored.

    Parameters
    ----------
    attributes : dict
        ``vars`` of the estimator, which is left as it is.
    """
    stored = {name: value for name, value in attributes.items() if name not in _PASSING}
    stored["_model_format"] = MODEL_FORMAT
    if "relaxation_" in stored:
        stored["relaxation_"] = {
            name: packed_numbers(values) for name, values in stored["relaxation_"].items()
        }
    if "_layout" in stored:
        stored["_layout"] = packed_layout(stored["_layout"])
    return stored


def unpacked_estimator(stored: dict[str, Any]) -> dict[str, Any]:
    """The attributes that `packed_estimator` was given.

    Raises
    ------
    ValueError
        If a later version has stored them in a format of its own.
    """
    attributes = dict(stored)
    found = attributes.pop("_model_format", None)
    if found != MODEL_FORMAT:
        msg = (
            f"The model file has format {found!r}, this version of sklearn-eqprop reads format "
            f"{MODEL_FORMAT}: load it with the version that wrote it or a later one."
        )
        raise ValueError(msg)
    if "_layout" in attributes:
        attributes["_layout"] = unpacked_layout(attributes["_layout"])
    if "relaxation_" in attributes:
        attributes["relaxation_"] = {
            name: unpacked_numbers(values) for name, values in attributes["relaxation_"].items()
        }
        # Training goes on with these very lists.
        attributes["_training_state"].relaxation = attributes["relaxation_"]
    return attributes


def packed_layout(layout: Layout) -> dict[str, Any]:
    """A layout in plain words."""
    geometries = [(pair, asdict(geometry)) for pair, geometry in layout.geometries.items()]
    return {"pairs": layout.wiring.pairs, "shapes": layout.shapes, "geometries": geometries}


def unpacked_layout(packed: dict[str, Any]) -> Layout:
    """The layout that `packed_layout` was given."""
    geometries = {pair: ConvGeometry(**fields) for pair, fields in packed["geometries"]}
    return Layout(Wiring.of(packed["pairs"]), packed["shapes"], geometries)


def packed_numbers(values: list[float]) -> bytes:
    """A list of floats in fewer bytes, without loss."""
    return zlib.compress(np.array(values, dtype="<f8").tobytes())


def unpacked_numbers(packed: bytes) -> list[float]:
    """The list that `packed_numbers` was given."""
    return np.frombuffer(zlib.decompress(packed), dtype="<f8").tolist()


def packed_stream(rng: np.random.RandomState, seed: Any) -> dict[str, Any] | None:
    """State of a random stream; None for one that has drawn nothing since it was seeded."""
    state: dict[str, Any] = rng.get_state(legacy=False)
    fresh: dict[str, Any] = np.random.RandomState(seed).get_state(legacy=False)
    same = state["has_gauss"] == fresh["has_gauss"] and all(
        np.array_equal(state["state"][part], fresh["state"][part]) for part in ("key", "pos")
    )
    return None if same else state


def unpacked_stream(state: dict[str, Any] | None, seed: Any) -> np.random.RandomState:
    """The stream that `packed_stream` was given."""
    rng = np.random.RandomState(seed)
    if state is not None:
        rng.set_state(state)
    return rng
