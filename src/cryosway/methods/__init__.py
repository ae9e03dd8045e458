"""The recipes: each a function that a user calls and a command of the same name.

Methods are imported when first used, so that their options can be shown without them.
"""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods._audit import audit
    from cryosway.methods._autodecoder import autodecoder
    from cryosway.methods._backproject import backproject
    from cryosway.methods._compare import compare
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
    from cryosway.methods._path import write_path
    from cryosway.methods._prepare import prepare
    from cryosway.methods._protein_atlas import atlas
    from cryosway.methods._protein_compare import compare_models
    from cryosway.methods._protein_contacts import contacts
    from cryosway.methods._protein_embed import embed
    from cryosway.methods._protein_embed_files import read_embeddings
    from cryosway.methods._protein_fold import fold
    from cryosway.methods._protein_score import score
    from cryosway.methods._protein_search import search_atlas
    from cryosway.methods._protein_train import train_language_model
    from cryosway.methods._run import run
    from cryosway.methods._select import select
    from cryosway.methods._states import states
    from cryosway.methods._structural import structural
    from cryosway.methods._vae import vae
    from cryosway.methods._validate import validate
    from cryosway.methods.bench import bench_make, bench_run, bench_score, bench_table

__all__ = [
    "DockingCheck",
    "DockingMap",
    "ViewCheck",
    "atlas",
    "audit",
    "autodecoder",
    "backproject",
    "bench_make",
    "bench_run",
    "bench_score",
    "bench_table",
    "check_docking",
    "check_views",
    "compare",
    "compare_models",
    "contacts",
    "demo",
    "density",
    "dock",
    "embed",
    "encode",
    "export",
    "fold",
    "import_cryodrgn",
    "inspect",
    "linear",
    "motions",
    "prepare",
    "read_embeddings",
    "run",
    "score",
    "search_atlas",
    "select",
    "states",
    "structural",
    "train_language_model",
    "vae",
    "validate",
    "write_models",
    "write_path",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "DockingCheck": "cryosway.methods._dock_check",
        "DockingMap": "cryosway.methods._dock_map",
        "ViewCheck": "cryosway.methods._dock_images",
        "atlas": "cryosway.methods._protein_atlas",
        "audit": "cryosway.methods._audit",
        "autodecoder": "cryosway.methods._autodecoder",
        "backproject": "cryosway.methods._backproject",
        "bench_make": "cryosway.methods.bench._make",
        "bench_run": "cryosway.methods.bench._run",
        "bench_score": "cryosway.methods.bench._score",
        "bench_table": "cryosway.methods.bench._table",
        "check_docking": "cryosway.methods._dock_check",
        "check_views": "cryosway.methods._dock_images",
        "compare": "cryosway.methods._compare",
        "compare_models": "cryosway.methods._protein_compare",
        "contacts": "cryosway.methods._protein_contacts",
        "demo": "cryosway.methods._demo",
        "density": "cryosway.methods._density",
        "dock": "cryosway.methods._dock",
        "embed": "cryosway.methods._protein_embed",
        "encode": "cryosway.methods._encode",
        "export": "cryosway.methods._export",
        "fold": "cryosway.methods._protein_fold",
        "import_cryodrgn": "cryosway.methods._import_cryodrgn",
        "inspect": "cryosway.methods._inspect",
        "linear": "cryosway.methods._linear",
        "motions": "cryosway.methods._motions",
        "prepare": "cryosway.methods._prepare",
        "read_embeddings": "cryosway.methods._protein_embed_files",
        "run": "cryosway.methods._run",
        "score": "cryosway.methods._protein_score",
        "search_atlas": "cryosway.methods._protein_search",
        "select": "cryosway.methods._select",
        "states": "cryosway.methods._states",
        "structural": "cryosway.methods._structural",
        "train_language_model": "cryosway.methods._protein_train",
        "vae": "cryosway.methods._vae",
        "validate": "cryosway.methods._validate",
        "write_models": "cryosway.methods._models",
        "write_path": "cryosway.methods._path",
    },
)
