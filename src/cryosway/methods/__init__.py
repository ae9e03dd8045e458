"""The recipes: each a function that a user calls and a command of the same name.

Methods are imported when first used, so that their options can be shown without them.
"""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods._audit.audit import audit
    from cryosway.methods._backproject import backproject
    from cryosway.methods._bench import bench_make, bench_run, bench_score, bench_table
    from cryosway.methods._compare.compare import compare
    from cryosway.methods._cryodrgn.import_job import import_cryodrgn
    from cryosway.methods._demo import demo
    from cryosway.methods._density.density import density
    from cryosway.methods._dock.check import DockingCheck, check_docking
    from cryosway.methods._dock.dock import dock
    from cryosway.methods._dock.images import ViewCheck, check_views
    from cryosway.methods._dock.map import DockingMap
    from cryosway.methods._export.export import export
    from cryosway.methods._inputs.inspect import inspect
    from cryosway.methods._inputs.prepare import prepare
    from cryosway.methods._landscape.path import write_path
    from cryosway.methods._landscape.select import select
    from cryosway.methods._landscape.states import states
    from cryosway.methods._linear.linear import linear
    from cryosway.methods._motions.models import write_models
    from cryosway.methods._motions.motions import motions
    from cryosway.methods._neural.autodecoder import autodecoder
    from cryosway.methods._neural.encode import encode
    from cryosway.methods._neural.vae import vae
    from cryosway.methods._protein.atlas import atlas
    from cryosway.methods._protein.compare import compare_models
    from cryosway.methods._protein.contacts import contacts
    from cryosway.methods._protein.embed import embed
    from cryosway.methods._protein.embed_files import read_embeddings
    from cryosway.methods._protein.fold import fold
    from cryosway.methods._protein.score import score
    from cryosway.methods._protein.search import search_atlas
    from cryosway.methods._protein.train import train_language_model
    from cryosway.methods._run.run import run
    from cryosway.methods._structural.structural import structural
    from cryosway.methods._validate.validate import validate

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
        "DockingCheck": "cryosway.methods._dock.check",
        "DockingMap": "cryosway.methods._dock.map",
        "ViewCheck": "cryosway.methods._dock.images",
        "atlas": "cryosway.methods._protein.atlas",
        "audit": "cryosway.methods._audit.audit",
        "autodecoder": "cryosway.methods._neural.autodecoder",
        "backproject": "cryosway.methods._backproject",
        "bench_make": "cryosway.methods._bench.make",
        "bench_run": "cryosway.methods._bench.run",
        "bench_score": "cryosway.methods._bench.score",
        "bench_table": "cryosway.methods._bench.table",
        "check_docking": "cryosway.methods._dock.check",
        "check_views": "cryosway.methods._dock.images",
        "compare": "cryosway.methods._compare.compare",
        "compare_models": "cryosway.methods._protein.compare",
        "contacts": "cryosway.methods._protein.contacts",
        "demo": "cryosway.methods._demo",
        "density": "cryosway.methods._density.density",
        "dock": "cryosway.methods._dock.dock",
        "embed": "cryosway.methods._protein.embed",
        "encode": "cryosway.methods._neural.encode",
        "export": "cryosway.methods._export.export",
        "fold": "cryosway.methods._protein.fold",
        "import_cryodrgn": "cryosway.methods._cryodrgn.import_job",
        "inspect": "cryosway.methods._inputs.inspect",
        "linear": "cryosway.methods._linear.linear",
        "motions": "cryosway.methods._motions.motions",
        "prepare": "cryosway.methods._inputs.prepare",
        "read_embeddings": "cryosway.methods._protein.embed_files",
        "run": "cryosway.methods._run.run",
        "score": "cryosway.methods._protein.score",
        "search_atlas": "cryosway.methods._protein.search",
        "select": "cryosway.methods._landscape.select",
        "states": "cryosway.methods._landscape.states",
        "structural": "cryosway.methods._structural.structural",
        "train_language_model": "cryosway.methods._protein.train",
        "vae": "cryosway.methods._neural.vae",
        "validate": "cryosway.methods._validate.validate",
        "write_models": "cryosway.methods._motions.models",
        "write_path": "cryosway.methods._landscape.path",
    },
)
