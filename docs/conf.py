"""Sphinx configuration."""

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
    "numpydoc",
    "myst_parser",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
nitpicky = False
html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4

# Docstrings link to a section by :ref:`title <user_guide:network>`.
autosectionlabel_prefix_document = True

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types, in scikit-learn's words
numpydoc_show_class_members = False  # the class template lists them


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what scikit-learn's base classes bring: its docstrings link into its own site."""
    module = getattr(obj, "__module__", None) or ""
    return True if what == "class" and module.startswith("sklearn.") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign_members)
