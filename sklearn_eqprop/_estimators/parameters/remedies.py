"""Remedies that messages offer. Those that are in force already are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._estimators.parameters.config import Config


@dataclass(frozen=True)
class Situation:
    """What decides whether a remedy can help."""

    config: Config
    #: Of the weights.
    dtype: Any
    #: Whether the columns of X have means near 0 and standard deviations near 1.
    standardised: bool
    #: Whether the user passed a validation set.
    own_validation: bool = False
    #: The strength of the penalty, if it is known: 'auto' stands for a number.
    alpha: float | None = None


@dataclass(frozen=True)
class Remedy:
    """Something to do, and when it can help."""

    #: Begins with a verb. ``{c}`` stands for the `Config` and ``{alpha}`` for `Situation.alpha`, so
    #: that it can name present values.
    text: str
    #: Whether the remedy is not yet in force, and can have an effect.
    helps: Callable[[Situation], bool] = lambda _: True


def advice(situation: Situation, *remedies: Remedy) -> str:
    """Return the remedies that can help as one clause, "lower a, use b, or raise c"."""
    now = {"c": situation.config, "alpha": situation.alpha}
    texts = [r.text.format(**now) for r in remedies if r.helps(situation)]
    if len(texts) > 2:
        texts = [", ".join(texts[:-1]) + ",", texts[-1]]
    return " or ".join(texts)


def sentence(situation: Situation, *remedies: Remedy) -> str:
    """Return the same as a sentence; empty if nothing can help."""
    clause = advice(situation, *remedies)
    return f"{clause[0].upper()}{clause[1:]}." if clause else ""


def changes(config: Config, **wanted: Any) -> list[str]:
    """Return those of the settings that are not in force, as ``name=value``."""
    now = vars(config)
    return [f"{name}={value!r}" for name, value in wanted.items() if now[name] != value]


def _lower_beta_helps(s: Situation) -> bool:
    return s.config.rule.nudged and not s.config.clamps


# Data
SCALE_INPUTS = Remedy("scale the inputs (StandardScaler)", lambda s: not s.standardised)
CHECK_TARGETS = Remedy("check that the targets depend on the inputs")
FLOAT64 = Remedy("use dtype='float64'", lambda s: bool(s.dtype != np.float64))

# Network
FEWER_LAYERS = Remedy("use fewer hidden layers", lambda s: len(s.config.hidden) > 1)
FEWER_UNITS = Remedy("use fewer hidden units", lambda s: len(s.config.hidden) > 0)
RELU = Remedy(
    "use activation='relu', which does not saturate", lambda s: s.config.activation != "relu"
)
LINEAR_OUTPUT = Remedy(
    "use output_activation='identity'", lambda s: s.config.output_activation != "identity"
)
SET_LOOP_GAIN = Remedy("set loop_gain", lambda s: s.config.loop_bound is None)
LOWER_LOOP_GAIN = Remedy(
    "lower loop_gain (now {c.loop_bound:g})", lambda s: s.config.loop_bound is not None
)
RAISE_LOOP_GAIN = Remedy(
    "raise loop_gain (now {c.loop_bound:g})", lambda s: s.config.loop_bound is not None
)
#: Against loops that are too strong.
WEAKER_LOOPS = (SET_LOOP_GAIN, LOWER_LOOP_GAIN)
LOWER_FEEDBACK_SCALE = Remedy("lower feedback_scale (now {c.feedback_scale:g})")
RAISE_FEEDBACK_SCALE = Remedy("raise feedback_scale (now {c.feedback_scale:g})")
#: Against a nudge that fades away.
STRONGER_FEEDBACK = (RAISE_FEEDBACK_SCALE, RAISE_LOOP_GAIN, FEWER_LAYERS)

# Settling
RAISE_MAX_RELAX = Remedy("raise max_relax_iter (now {c.max_relax_iter})")
RAISE_MAX_NUDGE = Remedy("raise max_nudge_iter (now {c.max_nudge_iter})")
CHANGE_STEP_SIZE = Remedy("change step_size (now {c.step_size:g})")
LOWER_STEP_SIZE = Remedy("lower step_size (now {c.step_size:g})")
GAUSS_SEIDEL = Remedy(
    "use relaxation='gauss_seidel'",
    lambda s: s.config.relaxation != "gauss_seidel" and not s.config.averages,
)
LOWER_BETA = Remedy("use a smaller |beta| (now {c.influence:g})", _lower_beta_helps)
RAISE_BETA = Remedy("use a larger |beta| (now {c.influence:g})", _lower_beta_helps)
ONE_SIDED = Remedy(
    "use nudging='one_sided'",
    lambda s: s.config.nudges.name != "one_sided" and s.config.rule.nudged,
)

# Learning
NUDGED = Remedy(
    "use gradient='vector_field', whose nudge can reach such outputs",
    lambda s: not s.config.rule.nudged,
)
LOWER_RATE = Remedy("lower learning_rate_init (now {c.learning_rate_init})")
RAISE_RATE = Remedy("raise learning_rate_init (now {c.learning_rate_init})")
CHANGE_RATE = Remedy("change learning_rate_init (now {c.learning_rate_init})")
RESCALE_LAYERS = Remedy(
    "set layerwise_rescale=True",
    lambda s: s.config.rule.attenuated and not s.config.layerwise_rescale,
)
RAISE_ALPHA = Remedy("raise alpha (now {alpha})")
OTHER_SEED = Remedy("fit with another random_state")

# Stopping
RAISE_MAX_ITER = Remedy("raise max_iter (now {c.max_iter})")
RAISE_PATIENCE = Remedy(
    "raise n_iter_no_change (now {c.n_iter_no_change})",
    lambda s: s.config.n_iter_no_change is not None,
)
RAISE_FRACTION = Remedy(
    "raise validation_fraction (now {c.validation_fraction:g})",
    lambda s: s.config.early_stopping and not s.own_validation,
)
SCALE_VALIDATION = Remedy("scale X_val like X", lambda s: s.own_validation)
SCORE_BY_LOSS = Remedy(
    "set scoring='loss', which sees smaller steps", lambda s: s.config.scoring != "loss"
)
EARLY_STOPPING = Remedy("set early_stopping=True", lambda s: not s.config.early_stopping)
