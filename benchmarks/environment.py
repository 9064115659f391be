"""Describe the machine and the versions, for the head of a benchmark's output."""

from __future__ import annotations

import os
import platform

import joblib
import numpy as np
import sklearn
import threadpoolctl

import sklearn_eqprop


def describe_environment() -> str:
    """Return one line: versions, processor, cores, BLAS threads."""
    pools = {
        f"{pool['internal_api']} {pool['version']} x{pool['num_threads']}"
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    }
    return (
        f"sklearn-eqprop {sklearn_eqprop.__version__}, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}, {_processor()}, "
        f"{joblib.cpu_count()} cores, BLAS {', '.join(sorted(pools))}"
        f"{', OPENBLAS_CORETYPE set' if 'OPENBLAS_CORETYPE' in os.environ else ''}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()
