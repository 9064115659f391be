"""Registries: the classes that a parameter chooses from, by the names that they carry."""

from collections.abc import Mapping
from typing import Any


def named_classes(kind: type, namespace: Mapping[str, Any]) -> list[Any]:
    """Return the classes of one kind that a module has imported, in the order of their imports.

    So the line that imports a class also registers it. The contract itself, such as `Loss`, has no
    name and is not part of the result. `namespace` is the ``globals()`` of the module.
    """
    classes = [found for found in namespace.values() if isinstance(found, type)]
    return [found for found in classes if issubclass(found, kind) and hasattr(found, "name")]
