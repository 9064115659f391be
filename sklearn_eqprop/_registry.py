"""Registries: the classes that a parameter chooses from, by the names that they carry."""

from collections.abc import Mapping
from typing import Any


def named_classes(kind: type, namespace: Mapping[str, Any]) -> list[Any]:
    """Return the classes of one kind that a module has imported.

    So the line that imports a class also registers it.

    Parameters
    ----------
    kind : type
        The contract, such as `Loss`. It has no name, so it is not part of the result.
    namespace : mapping
        The ``globals()`` of the module.

    Returns
    -------
    list of type
        Subclasses of `kind` with an attribute ``name``, in the order of their imports.
    """
    classes = [found for found in namespace.values() if isinstance(found, type)]
    return [found for found in classes if issubclass(found, kind) and hasattr(found, "name")]
