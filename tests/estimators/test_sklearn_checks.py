"""scikit-learn's own estimator checks, those it leaves to be called by hand included."""

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.config import Config

# The checks fit on their own data for as long as the estimator is told to, settled or not.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# The regressor has to reach R² > 0.5 on the checks' 200 samples, one minibatch an epoch.
ESTIMATORS = [EqPropClassifier(max_iter=30), EqPropRegressor(max_iter=100)]
VARIANTS = [
    EqPropClassifier(max_iter=30, loss="squared_error", feedback="tied"),
    EqPropRegressor(max_iter=100, feedback="tied"),
]

#: Checks that `parametrize_with_checks` does not run, at least not in every version.
BY_HAND = [
    "check_param_validation",
    "check_dataframe_column_names_consistency",
    "check_n_features_in_after_fitting",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_preserve_dtypes",
    "check_estimator_get_tags_default_keys",
    "check_estimator_sparse_tag",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_valid_tag_types",
    "check_mixin_order",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_readonly_memmap_input",
    "check_f_contiguous_array_estimator",
    "check_inplace_ensure_writeable",
    "check_positive_only_tag_during_fit",
]
#: Not every version has every one of them; these every supported version has.
NEVER_MISSING = {
    "check_param_validation",
    "check_dataframe_column_names_consistency",
    "check_set_output_transform_pandas",
    "check_transformer_get_feature_names_out_pandas",
}
AVAILABLE = [name for name in BY_HAND if hasattr(estimator_checks, name)]


@parametrize_with_checks(ESTIMATORS + VARIANTS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# The checks of set_output fit with column names and transform without, and the other way round.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names, but")
@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_checks_called_by_hand(estimator, name):
    getattr(estimator_checks, name)(type(estimator).__name__, clone(estimator))


def test_checks_called_by_hand_exist():
    assert set(AVAILABLE) >= NEVER_MISSING


@pytest.mark.parametrize("estimator", [EqPropClassifier(beta=0.1), EqPropRegressor(beta=0.1)])
def test_the_config_holds_the_parameters(estimator):
    config, parameters = vars(Config.of(estimator)), estimator.get_params(deep=False)
    assert config == {"class_weight": None, "label_smoothing": None} | parameters


def test_tags_say_what_the_estimators_can_do():
    assert get_tags(EqPropClassifier()).classifier_tags.multi_label
    for loss, positive in (("poisson", True), ("huber", False), ("unknown", False)):
        target_tags = get_tags(EqPropRegressor(loss=loss)).target_tags
        assert target_tags.multi_output
        assert target_tags.positive_only is positive
