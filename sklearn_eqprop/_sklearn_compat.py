"""Every private or version-dependent import from scikit-learn, in one place."""

from sklearn.base import _fit_context
from sklearn.utils._array_api import _convert_to_numpy, get_namespace
from sklearn.utils._array_api import device as array_device
from sklearn.utils._param_validation import HasMethods, Interval, InvalidParameterError, StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    validate_data,
)

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "_check_feature_names",
    "_check_n_features",
    "_check_sample_weight",
    "_convert_to_numpy",
    "_fit_context",
    "array_device",
    "get_namespace",
    "type_of_target",
    "validate_data",
]
