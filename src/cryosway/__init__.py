"""cryosway: from cryo-EM particle images to a conformational landscape.

>>> import cryosway as cs
>>> callable(cs.read_particles)
True

The public API is this page; names are imported when first used, so that ``import cryosway``
costs milliseconds. Everything a method makes is a job folder, opened again with `open_job`.
"""

import sys
from typing import TYPE_CHECKING

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway._lazy import FunctionFirstPackage, lazy_attributes
from cryosway._version import __version__

if TYPE_CHECKING:
    from cryosway.engine import show_messages
    from cryosway.jobs import Job, open_job, write_volumes
    from cryosway.landscape import landscape
    from cryosway.methods import (
        atlas,
        audit,
        autodecoder,
        backproject,
        bench_make,
        bench_run,
        bench_score,
        bench_table,
        check_docking,
        check_views,
        compare,
        compare_models,
        contacts,
        demo,
        density,
        dock,
        embed,
        encode,
        export,
        fold,
        import_cryodrgn,
        inspect,
        linear,
        motions,
        prepare,
        read_embeddings,
        run,
        score,
        search_atlas,
        select,
        states,
        structural,
        train_language_model,
        vae,
        validate,
        write_models,
        write_path,
    )
    from cryosway.particles import Particles, read_particles
    from cryosway.report import movie, plot, report
    from cryosway.simulate import simulate
    from cryosway.validate import auc_fsc, fsc

__all__ = [
    "CryoswayError",
    "CryoswayWarning",
    "Job",
    "Particles",
    "__version__",
    "atlas",
    "auc_fsc",
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
    "fsc",
    "import_cryodrgn",
    "inspect",
    "landscape",
    "linear",
    "motions",
    "movie",
    "open_job",
    "plot",
    "prepare",
    "read_embeddings",
    "read_particles",
    "report",
    "run",
    "score",
    "search_atlas",
    "select",
    "show_messages",
    "simulate",
    "states",
    "structural",
    "train_language_model",
    "vae",
    "validate",
    "write_models",
    "write_path",
    "write_volumes",
]

_PUBLIC = {
    "Job": "cryosway.jobs",
    "Particles": "cryosway.particles",
    "atlas": "cryosway.methods",
    "auc_fsc": "cryosway.validate",
    "audit": "cryosway.methods",
    "autodecoder": "cryosway.methods",
    "backproject": "cryosway.methods",
    "bench_make": "cryosway.methods",
    "bench_run": "cryosway.methods",
    "bench_score": "cryosway.methods",
    "bench_table": "cryosway.methods",
    "check_docking": "cryosway.methods",
    "check_views": "cryosway.methods",
    "compare": "cryosway.methods",
    "compare_models": "cryosway.methods",
    "contacts": "cryosway.methods",
    "demo": "cryosway.methods",
    "density": "cryosway.methods",
    "dock": "cryosway.methods",
    "embed": "cryosway.methods",
    "encode": "cryosway.methods",
    "export": "cryosway.methods",
    "fold": "cryosway.methods",
    "fsc": "cryosway.validate",
    "import_cryodrgn": "cryosway.methods",
    "inspect": "cryosway.methods",
    "landscape": "cryosway.landscape",
    "linear": "cryosway.methods",
    "motions": "cryosway.methods",
    "movie": "cryosway.report",
    "open_job": "cryosway.jobs",
    "plot": "cryosway.report",
    "prepare": "cryosway.methods",
    "read_embeddings": "cryosway.methods",
    "read_particles": "cryosway.particles",
    "report": "cryosway.report",
    "run": "cryosway.methods",
    "score": "cryosway.methods",
    "search_atlas": "cryosway.methods",
    "select": "cryosway.methods",
    "show_messages": "cryosway.engine",
    "simulate": "cryosway.simulate",
    "states": "cryosway.methods",
    "structural": "cryosway.methods",
    "train_language_model": "cryosway.methods",
    "vae": "cryosway.methods",
    "validate": "cryosway.methods",
    "write_models": "cryosway.methods",
    "write_path": "cryosway.methods",
    "write_volumes": "cryosway.jobs",
}

__function_names__ = frozenset(_PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, _PUBLIC)
sys.modules[__name__].__class__ = FunctionFirstPackage
