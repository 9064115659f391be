"""Sphinx configuration."""

import re
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import matplotlib.animation
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_eqprop

project = "sklearn-eqprop"
author = "the sklearn-eqprop developers"
copyright = f"2026, {author}"
version = release = sklearn_eqprop.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosectionlabel",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "sg_execution_times.rst", "**/sg_execution_times.rst"]
nitpicky = False
smartquotes = False  # values of parameters can be copied
html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {"top_of_page_buttons": []}

# The site carries MathJax, so that formulas need no network. This file also has the glyphs.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg.js"
html_static_path = ["_static", str(MATHJAX)]
html_css_files = ["site.css"]
mathjax_path = MATHJAX.name

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 4

# Docstrings link to a section by :ref:`title <user_guide:network>`.
autosectionlabel_prefix_document = True

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types, in scikit-learn's words
numpydoc_show_class_members = False  # the class template lists them

# The player of animations loads the signs on its buttons from a network; site.css has others.
matplotlib.animation.JS_INCLUDE = re.sub(r"<link[^>]*>", "", matplotlib.animation.JS_INCLUDE)

GROUPS = ("theory", "images", "extend", "hardware", "reproductions")
#: Reading order within each group.
READ = [
    "plot_digits.py",
    "plot_decision_boundary.py",
    "plot_regression_curve.py",
    "plot_one_synapse.py",
    "plot_error_signals.py",
    "plot_theorem_1_angle.py",
    "plot_theorems_3_and_4.py",
    "plot_alignment_over_training.py",
    "plot_stdp_window.py",
    "plot_never_settles.py",
    "plot_digit_settles.py",
    "plot_convolutions.py",
    "plot_own_loss.py",
    "plot_skip_connections.py",
    "plot_analog_substrate.py",
    "plot_spice_circuit.py",
    "plot_almeida_pineda_1987.py",
    "plot_movellan_1991.py",
    "plot_oreilly_1996.py",
    "plot_scellier_bengio_2017.py",
    "plot_paper_mnist.py",
    "plot_ernoult_2019.py",
    "plot_ernoult_2020.py",
    "plot_laborieux_2021.py",
    "plot_laborieux_zenke_2022.py",
    "plot_laborieux_zenke_2023.py",
    "plot_scurria_2026.py",
    "common.py",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    # Without ngspice, the page of the circuit has no pictures.
    "filename_pattern": r"[/\\]plot_" if find_library("ngspice") else r"[/\\]plot_(?!spice)",
    "subsection_order": ExplicitOrder([f"../examples/{group}" for group in GROUPS]),
    "within_subsection_order": ExplicitOrder(READ),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_eqprop",),
    "reference_url": {"sklearn_eqprop": None},
    "matplotlib_animations": (True, "jshtml"),
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": float("inf"),  # times depend on what else the machine does
    "remove_config_comments": True,
}


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what scikit-learn's base classes bring: its docstrings link into its own site."""
    module = getattr(obj, "__module__", None) or ""
    return True if what == "class" and module.startswith("sklearn.") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign_members)
