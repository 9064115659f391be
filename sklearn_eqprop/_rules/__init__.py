"""Credit rules: from settled states to a change of every parameter.

To add a rule, write one file with a subclass of `CreditRule` and import the class below.
"""

from sklearn_eqprop._registry import named_classes
from sklearn_eqprop._rules.asymmetric import AsymmetricRule
from sklearn_eqprop._rules.base import Credit, CreditRule, Minibatch
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.recurrent_backprop import RecurrentBackpropRule
from sklearn_eqprop._rules.vector_field import NUDGINGS, VectorFieldRule

#: Rules that the parameter ``gradient`` chooses from, by name. `ClampedRule` is not one of them:
#: ``beta=inf`` chooses it.
RULES: dict[str, type[CreditRule]] = {
    rule.name: rule for rule in named_classes(CreditRule, globals())
}
