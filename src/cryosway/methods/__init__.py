"""The recipes: each a function that a user calls and a command of the same name.

Methods are imported when first used, so that their options can be shown without them.
"""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods._audit import audit
    from cryosway.methods._autodecoder import autodecoder
    from cryosway.methods._backproject import backproject
    from cryosway.methods._demo import demo
    from cryosway.methods._density import density
    from cryosway.methods._dock import dock
    from cryosway.methods._dock_check import DockingCheck, check_docking
    from cryosway.methods._dock_images import ViewCheck, check_views
    from cryosway.methods._dock_map import DockingMap
    from cryosway.methods._encode import encode
    from cryosway.methods._export import export
    from cryosway.methods._import_cryodrgn import import_cryodrgn
    from cryosway.methods._inspect import inspect
    from cryosway.methods._linear import linear
    from cryosway.methods._models import write_models
    from cryosway.methods._motions import motions
    from cryosway.methods._prepare import prepare
    from cryosway.methods._run import run
    from cryosway.methods._structural import structural
    from cryosway.methods._vae import vae

__all__ = [
    "DockingCheck",
    "DockingMap",
    "ViewCheck",
    "audit",
    "autodecoder",
    "backproject",
    "check_docking",
    "check_views",
    "demo",
    "density",
    "dock",
    "encode",
    "export",
    "import_cryodrgn",
    "inspect",
    "linear",
    "motions",
    "prepare",
    "run",
    "structural",
    "vae",
    "write_models",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "DockingCheck": "cryosway.methods._dock_check",
        "DockingMap": "cryosway.methods._dock_map",
        "ViewCheck": "cryosway.methods._dock_images",
        "audit": "cryosway.methods._audit",
        "autodecoder": "cryosway.methods._autodecoder",
        "backproject": "cryosway.methods._backproject",
        "check_docking": "cryosway.methods._dock_check",
        "check_views": "cryosway.methods._dock_images",
        "demo": "cryosway.methods._demo",
        "density": "cryosway.methods._density",
        "dock": "cryosway.methods._dock",
        "export": "cryosway.methods._export",
        "import_cryodrgn": "cryosway.methods._import_cryodrgn",
        "encode": "cryosway.methods._encode",
        "inspect": "cryosway.methods._inspect",
        "linear": "cryosway.methods._linear",
        "motions": "cryosway.methods._motions",
        "prepare": "cryosway.methods._prepare",
        "run": "cryosway.methods._run",
        "structural": "cryosway.methods._structural",
        "vae": "cryosway.methods._vae",
        "write_models": "cryosway.methods._models",
    },
)
