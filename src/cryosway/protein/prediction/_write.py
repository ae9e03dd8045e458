"""Write predictions: mmCIF, and confidences in ColabFold's layout, which others read too."""

import json
from os import PathLike
from pathlib import Path

import numpy as np

from cryosway.engine import write_atomically
from cryosway.protein._write import write_structure
from cryosway.protein.prediction._prediction import Prediction
from cryosway.protein.prediction._scores import SCORES


def write_prediction(prediction: Prediction, path: str | PathLike[str]) -> list[Path]:
    """Write a prediction as X.cif and, where its PAE is known, X_scores.json.

    B factors are pLDDT, 0 to 100. The JSON has ``plddt``, ``pae`` (Å), ``max_pae``, ``ptm`` and
    ``iptm``. Both are written atomically, the model last.

    Parameters
    ----------
    prediction
        What to write.
    path
        Of the model; ends in ``.cif``.

    Returns
    -------
    The files.
    """
    target = Path(path)
    files = []
    if prediction.pae is not None:
        files.append(write_scores(prediction, target))
    with write_atomically(target) as temporary:
        write_structure(temporary, prediction.with_confidence())
    return [target, *files]


def write_scores(prediction: Prediction, model: Path) -> Path:
    """Write the confidences of a prediction, whose PAE is known, beside a model X.cif."""
    path = model.with_name(model.stem + SCORES)
    text = json.dumps(_describe(prediction), separators=(",", ":"))
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _describe(prediction: Prediction) -> dict[str, object]:
    assert prediction.pae is not None
    described: dict[str, object] = {
        "plddt": np.round(prediction.plddt, 2).tolist(),
        "pae": np.round(prediction.pae, 2).tolist(),
        "max_pae": round(float(prediction.pae.max(initial=0)), 2),
    }
    for name in ("ptm", "iptm"):
        value = getattr(prediction, name)
        if value is not None:
            described[name] = round(value, 4)
    return described
