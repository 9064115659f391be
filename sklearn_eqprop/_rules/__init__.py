"""Credit rules: from settled states to a change of every parameter.

To add a rule, write one file with a subclass of `CreditRule` and list the class below.
"""

from sklearn_eqprop._rules.asymmetric import AsymmetricRule
from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.recurrent_backprop import RecurrentBackpropRule
from sklearn_eqprop._rules.vector_field import NUDGINGS, VectorFieldRule

#: Rules that the parameter ``gradient`` chooses from, by name. ``beta=inf`` chooses `ClampedRule`.
RULES: dict[str, type[CreditRule]] = {
    rule.name: rule
    for rule in (VectorFieldRule, AsymmetricRule, RecurrentBackpropRule, ContinualRule)
}
