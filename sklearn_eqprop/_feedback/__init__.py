"""How untied feedback weights learn.

To add a way, write one file with a subclass of `FeedbackLearning` and import the class below.
"""

from sklearn_eqprop._feedback.base import FeedbackLearning
from sklearn_eqprop._feedback.fixed import Fixed
from sklearn_eqprop._feedback.homeostasis import Homeostasis
from sklearn_eqprop._feedback.kolen_pollack import KolenPollack
from sklearn_eqprop._feedback.local import Local
from sklearn_eqprop._registry import named_classes

#: Ways that the parameter ``feedback_learning`` chooses from, by name.
FEEDBACK_WAYS: dict[str, type[FeedbackLearning]] = {
    way.name: way for way in named_classes(FeedbackLearning, globals())
}
