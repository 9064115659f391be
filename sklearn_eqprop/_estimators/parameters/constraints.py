"""Types and ranges of the parameters, as scikit-learn validates them."""

from numbers import Integral, Real
from os import PathLike
from typing import Any

from sklearn.metrics import get_scorer_names

from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._losses import LABEL_LOSSES, NUMBER_LOSSES
from sklearn_eqprop._network import ACTIVATIONS, Conv2D
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules import NUDGINGS, RULES
from sklearn_eqprop._sklearn_compat import HasMethods, Interval, StrOptions
from sklearn_eqprop._training import OPTIMIZERS, SCHEDULES

#: What both estimators share.
SHARED: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Conv2D],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "output_activation": [StrOptions(set(ACTIVATIONS))],
    "feedback": [StrOptions({"untied", "tied"})],
    "gradient": [StrOptions(set(RULES))],
    "credit_coordinates": [StrOptions({"auto", "state", "rate"})],
    "nudging": [StrOptions({"auto", *NUDGINGS}), Interval(Integral, 3, None, closed="left")],
    "feedback_init": [StrOptions({"transpose", "independent"})],
    "feedback_scale": [Interval(Real, 0, None, closed="neither")],
    "feedback_learning": [StrOptions(set(FEEDBACK_WAYS))],
    "objective": [StrOptions({"fixed_point", "trajectory"})],
    "connections": [None, list, tuple],
    "loop_gain": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
    "layerwise_rescale": ["boolean"],
    "beta": [StrOptions({"auto"}), Interval(Real, None, None, closed="both")],
    "relaxation": [StrOptions(set(RELAXATIONS))],
    "step_size": [Interval(Real, 0, 1, closed="right")],
    "max_relax_iter": [Interval(Integral, 1, None, closed="left")],
    "max_nudge_iter": [Interval(Integral, 1, None, closed="left")],
    "relax_tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "optimizer": [StrOptions(set(OPTIMIZERS))],
    "learning_rate_init": ["array-like", Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "scoring": [None, StrOptions(set(get_scorer_names()) | {"loss"}), callable],
    "restore_best_weights": ["boolean"],
    "average_weights": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
    "tol": [Interval(Real, 0, None, closed="left")],
    "shuffle": ["boolean"],
    "augment": [None, callable],
    "warm_start": ["boolean"],
    "checkpoint": [None, str, PathLike],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "transform_layers": [None, "array-like", Interval(Integral, 1, None, closed="left")],
    "input_shape": [None, tuple, list],
    "backend": [StrOptions({"auto", "numpy", "cupy"})],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "substrate": [None, HasMethods(["connect"])],
}
_OWN_LOSS = HasMethods(["value", "derivative"])
OF_CLASSIFIER = SHARED | {
    "loss": [StrOptions(set(LABEL_LOSSES)), _OWN_LOSS],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
}
OF_REGRESSOR = SHARED | {"loss": [StrOptions(set(NUMBER_LOSSES)), _OWN_LOSS]}
