"""The content of a model file: all that training needs to continue exactly."""

from dataclasses import asdict
from typing import Any

import numpy as np

from sklearn_eqprop._network import Layout, Wiring
from sklearn_eqprop._network.conv2d import ConvGeometry

#: Increases when the content changes. `unpacked_estimator` must read all formats up to it.
MODEL_FORMAT = 1
#: Types that skops finds in a model file besides those of scikit-learn and NumPy: the estimators,
#: the memory of training, and the user's convolutions, augmentations and simulated chips. All of
#: them are data.
TRUSTED_TYPES = (
    "sklearn_eqprop._estimators.classifier.EqPropClassifier",
    "sklearn_eqprop._estimators.regressor.EqPropRegressor",
    "sklearn_eqprop._estimators.fitting.state.TrainingState",
    "sklearn_eqprop._network.conv2d.Conv2D",
    "sklearn_eqprop.augmentation.Compose",
    "sklearn_eqprop.augmentation.Cutout",
    "sklearn_eqprop.augmentation.RandomCrop",
    "sklearn_eqprop.augmentation.RandomHorizontalFlip",
    "sklearn_eqprop._substrates.hardware.analog_chip.AnalogChip",
)


def packed_estimator(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an estimator as they are stored.

    The layout is stored as plain data, so that its classes may change. So is the user's generator
    of random numbers: NumPy 1 cannot read a `RandomState` that NumPy 2 has stored.
    """
    stored: dict[str, Any] = {
        name: value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else value
        for name, value in attributes.items()
        if name != "_checked_parameters"
    }
    stored["_model_format"] = MODEL_FORMAT
    if stored.get("_hardware") is not None:  # hardware is connected again from its description
        hardware = stored["_hardware"]
        stored["_hardware"] = {"description": hardware.description, "memory": hardware.memory}
    if "_layout" in stored:
        layout: Layout = stored["_layout"]
        geometries = [(pair, asdict(geometry)) for pair, geometry in layout.geometries.items()]
        stored["_layout"] = {
            "pairs": layout.wiring.pairs,
            "identities": sorted(layout.wiring.identities),
            "shapes": layout.shapes,
            "geometries": geometries,
        }
    return stored


def unpacked_estimator(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that `packed_estimator` was given.

    It raises ValueError if a later version has stored them in its own format.
    """
    attributes = {name: _generator_in(value) for name, value in stored.items()}
    found = attributes.pop("_model_format", None)
    if found != MODEL_FORMAT:
        msg = (
            f"The model file has format {found!r}, but this version of sklearn-eqprop reads format "
            f"{MODEL_FORMAT}. Load it with the version that wrote it or a later one."
        )
        raise ValueError(msg)
    if attributes.get("_hardware") is not None:
        from sklearn_eqprop._substrates.hardware.connected import ConnectedHardware

        attributes["_hardware"] = ConnectedHardware(**attributes["_hardware"])
    if "_layout" in attributes:
        packed = attributes["_layout"]
        geometries = {pair: ConvGeometry(**of_pair) for pair, of_pair in packed["geometries"]}
        wiring = Wiring.of(packed["pairs"], packed.get("identities", ()))
        attributes["_layout"] = Layout(wiring, packed["shapes"], geometries)
        if attributes["_feedback_coefs"] is None:  # written before tied feedback had a strength
            strengths = wiring.strengths(1.0, attributes["coefs_"][0].dtype)
            attributes["_feedback_coefs"] = strengths
    return attributes


def _generator_in(value: Any) -> Any:
    """Return the generator of random numbers if `value` is the state of one, or else the value."""
    if not isinstance(value, dict) or "bit_generator" not in value:
        return value
    generator = np.random.RandomState(getattr(np.random, value["bit_generator"])())
    generator.set_state(value)
    return generator
