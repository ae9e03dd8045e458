"""Public names that are imported when first used, so that ``import cryosway`` stays fast."""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def lazy_attributes(
    module_name: str, table: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a module from a table of names.

    Parameters
    ----------
    module_name : str
        The ``__name__`` of the module that gets them.
    table : Mapping[str, str]
        Public name → name of the module that defines it under the same name.

    Returns
    -------
    tuple
        The two functions, in this order.

    Examples
    --------
    >>> __getattr__, __dir__ = lazy_attributes("geometry", {"pi": "math"})
    >>> __getattr__("pi")
    3.14159...
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 (module-level dunder, PEP 562)
        if name not in table:
            message = f"module {module_name!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(importlib.import_module(table[name]), name)

    def __dir__() -> list[str]:  # noqa: N807
        loaded = vars(sys.modules[module_name]) if module_name in sys.modules else {}
        return sorted({*loaded, *table})

    return __getattr__, __dir__


class FunctionFirstPackage(ModuleType):
    """A package in which a public function wins over the subpackage of the same name.

    ``cryosway.simulate`` is both a room (a subpackage) and a function of the public API. When a
    subpackage is imported, Python binds it as an attribute of its parent; this class declines
    that one binding for the names in ``__function_names__``, so that ``cs.simulate(...)`` is the
    function whatever has been imported before. ``from cryosway.simulate import X`` and
    ``import cryosway.simulate`` work as ever, since these look in ``sys.modules``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        shadowed = isinstance(value, ModuleType) and name in self.__dict__["__function_names__"]
        if not shadowed:
            super().__setattr__(name, value)
