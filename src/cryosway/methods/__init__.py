"""The recipes: each a function that a user calls and a command of the same name.

Methods are imported when first used, so that their options can be shown without them.
"""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods._backproject import backproject
    from cryosway.methods._demo import demo
    from cryosway.methods._inspect import inspect
    from cryosway.methods._linear import linear
    from cryosway.methods._prepare import prepare
    from cryosway.methods._run import run

__all__ = ["backproject", "demo", "inspect", "linear", "prepare", "run"]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "backproject": "cryosway.methods._backproject",
        "demo": "cryosway.methods._demo",
        "inspect": "cryosway.methods._inspect",
        "linear": "cryosway.methods._linear",
        "prepare": "cryosway.methods._prepare",
        "run": "cryosway.methods._run",
    },
)
