"""Files of confidences that programs write: AlphaFold DB, ColabFold, AlphaFold 3, Boltz, ours.

| program | model | confidences |
|---|---|---|
| cryosway | X.cif | X_scores.json: plddt, pae, max_pae, ptm (ColabFold's layout) |
| AlphaFold DB | AF-P69441-F1-model_v4.cif | AF-P69441-F1-predicted_aligned_error_v4.json |
| ColabFold | X_unrelaxed_rank_001_….pdb | X_scores_rank_001_….json |
| AlphaFold 3 | X_model.cif; fold_x_model_0.cif | X_confidences.json; fold_x_full_data_0.json |
| Boltz | X_model_0.cif | pae_X_model_0.npz, plddt_…npz, confidence_X_model_0.json |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import read_json

FloatArray = NDArray[np.float64]

SCORES = "_scores.json"
_LAYOUTS = (
    "expected are the files of AlphaFold DB, ColabFold, AlphaFold 3 (JSON) or Boltz (pae_….npz)"
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a file of confidences holds of T tokens, which are residues, or atoms of ligands.

    Attributes
    ----------
    pae
        Shape (T, T), Å.
    plddt
        Shape (T,), 0 to 100, where the file has it per token.
    ptm, iptm
        Where known.
    tokens
        Chain and residue number of each token, where the file says.
    """

    pae: FloatArray
    plddt: FloatArray | None = None
    ptm: float | None = None
    iptm: float | None = None
    tokens: list[tuple[str, int]] | None = None


def find_scores(model: Path) -> Path | None:
    """Find the file of confidences beside a model, by the names that programs give."""
    name = model.name.removesuffix(".gz")
    stem = re.sub(r"\.(cif|mmcif|pdb|ent)$", "", name)
    candidates = [
        f"{stem}{SCORES}",
        re.sub(r"-model_(v\d+)$", r"-predicted_aligned_error_\1", stem) + ".json",
        re.sub(r"_(un)?relaxed_rank_", "_scores_rank_", stem) + ".json",
        re.sub(r"_model$", "_confidences", stem) + ".json",
        re.sub(r"_model_(\d+)$", r"_full_data_\1", stem) + ".json",
        f"pae_{stem}.npz",
    ]
    paths = [model.with_name(each) for each in candidates if each != f"{stem}.json"]
    return next((path for path in paths if path.is_file()), None)


def read_scores(path: Path) -> Scores:
    """Read a file of confidences, by its content.

    Raises
    ------
    CryoswayError
        When it is none, or its PAE is no square of distances.
    """
    if not path.is_file():
        msg = f"{path}: there is no such file of confidences; {_LAYOUTS}"
        raise CryoswayError(msg)
    found = _read_archive(path) if path.suffix == ".npz" else _read_text(path)
    pae = found.pae
    if pae.ndim != 2 or pae.shape[0] != pae.shape[1]:
        msg = f"{path}: the predicted aligned error is no square (shape {pae.shape}); {_LAYOUTS}"
        raise CryoswayError(msg)
    if not np.isfinite(pae).all() or pae.min() < 0:
        msg = f"{path}: the predicted aligned error has entries that are no distances (Å)"
        raise CryoswayError(msg)
    return found


def as_percent(plddt: FloatArray) -> FloatArray:
    """Bring pLDDT to 0 to 100: some programs, as transformers' ESMFold, write 0 to 1."""
    values = np.asarray(plddt, np.float64)
    return values * 100 if values.max(initial=0) <= 1 else values


def _read_text(path: Path) -> Scores:
    data = read_json(path)
    if isinstance(data, list) and len(data) == 1:  # AlphaFold DB
        data = data[0]
    if not isinstance(data, Mapping):
        msg = f"{path} holds no confidences; {_LAYOUTS}"
        raise CryoswayError(msg)
    tokens = None
    if "token_chain_ids" in data and "token_res_ids" in data:
        numbers = [int(number) for number in data["token_res_ids"]]
        tokens = list(zip(map(str, data["token_chain_ids"]), numbers, strict=True))
    plddt = data.get("plddt")
    summary = {**_read_summary(path), **data}
    return Scores(
        _find_pae(data, path),
        None if plddt is None else as_percent(np.asarray(plddt, np.float64)),
        _number(summary.get("ptm")),
        _number(summary.get("iptm")),
        tokens,
    )


def _find_pae(data: Mapping[str, Any], path: Path) -> FloatArray:
    for name in ("pae", "predicted_aligned_error"):
        if name in data:
            return _as_matrix(data[name], path)
    if {"residue1", "residue2", "distance"} <= data.keys():  # AlphaFold DB until 2022
        first, second = (np.asarray(data[f"residue{n}"], np.intp) - 1 for n in (1, 2))
        size = int(first.max(initial=-1)) + 1
        pae = np.full((size, int(second.max(initial=-1)) + 1), np.nan)
        pae[first, second] = data["distance"]
        return pae
    msg = f"{path} has no predicted aligned error (pae); {_LAYOUTS}"
    raise CryoswayError(msg)


def _as_matrix(rows: Any, path: Path) -> FloatArray:
    try:
        return np.asarray(rows, np.float64)
    except (ValueError, TypeError) as error:
        msg = f"{path}: the predicted aligned error is no matrix of numbers; {_LAYOUTS}"
        raise CryoswayError(msg) from error


def _read_summary(path: Path) -> dict[str, Any]:
    """Read pTM and ipTM from the file in which AlphaFold 3 has them."""
    names = (
        path.name.replace("_full_data_", "_summary_confidences_"),
        path.name.replace("_confidences", "_summary_confidences"),
    )
    for name in names:
        other = path.with_name(name)
        if other != path and other.is_file():
            return dict(read_json(other))
    return {}


def _read_archive(path: Path) -> Scores:
    """Read Boltz's: PAE in one archive, and pLDDT and pTM beside it."""
    pae = _load_array(path, "pae")
    stem = path.stem.removeprefix("pae_")
    plddt_path = path.with_name(f"plddt_{stem}.npz")
    plddt = as_percent(_load_array(plddt_path, "plddt")) if plddt_path.is_file() else None
    summary_path = path.with_name(f"confidence_{stem}.json")
    summary = read_json(summary_path) if summary_path.is_file() else {}
    return Scores(pae, plddt, _number(summary.get("ptm")), _number(summary.get("iptm")))


def _load_array(path: Path, name: str) -> FloatArray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name], np.float64)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path} cannot be read as an archive with {name} ({error}); {_LAYOUTS}"
        raise CryoswayError(msg) from error


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
