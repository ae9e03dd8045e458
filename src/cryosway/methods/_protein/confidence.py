"""What the confidences of a predicted model change: what is docked, held, and moved as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.methods._options import Confidence
from cryosway.protein import (
    AtomTable,
    CoarseModel,
    Prediction,
    Restraints,
    find_restraints,
    find_scores,
    read_prediction,
)
from cryosway.protein.prediction import write_scores

FloatArray = NDArray[np.float64]

_UNKNOWN = -1
_UNRELATED_PAE = 31.75  # Å, the largest that AlphaFold and ESMFold predict
#: How far apart segments are for the parting of beads, which are at a tenth of their Å.
_APART = 10.0


def read_restraints(model: Path, confidence: Confidence) -> Restraints | None:
    """Read the confidences of a predicted model.

    Parameters
    ----------
    model
        Its file.
    confidence
        File with the predicted aligned error; ``auto`` for the one beside the model, if there is
        one; ``none`` to take the model as it is.
    """
    prediction = _read_confident(model, confidence)
    return None if prediction is None else find_restraints(prediction)


def carry_scores(model: Path, confidence: Confidence, moved: Path) -> None:
    """Write the confidences of a model beside a moved copy of it, where they are known."""
    prediction = _read_confident(model, confidence)
    if prediction is not None and prediction.pae is not None:
        write_scores(prediction, moved)


def join_scores(models: Sequence[Path], confidence: Confidence, assembled: Path) -> None:
    """Write the confidences of models beside the model that they were assembled to.

    Between models, whose places are the map's and not a prediction's, the error is as large as
    predictions say it; models without confidences, as deposited ones, are sure of themselves.
    """
    given = {model: _read_confident(model, confidence) for model in dict.fromkeys(models)}
    if all(prediction is None for prediction in given.values()):
        return
    found = {model: one or read_prediction(model) for model, one in given.items()}
    known = [(len(found[model]), found[model].pae) for model in models]
    blocks = [np.zeros((count, count)) if pae is None else pae for count, pae in known]
    plddt = [
        np.full(len(found[model]), 100.0) if given[model] is None else found[model].plddt
        for model in models
    ]
    edges = np.cumsum([0, *(len(block) for block in blocks)])
    pae = np.full((edges[-1], edges[-1]), _UNRELATED_PAE)
    for block, first, last in zip(blocks, edges[:-1], edges[1:], strict=True):
        pae[first:last, first:last] = block
    atoms = AtomTable.concatenate([found[model].atoms for model in models])
    write_scores(Prediction(assembled.stem, atoms, np.concatenate(plddt), pae), assembled)


def _read_confident(model: Path, confidence: Confidence) -> Prediction | None:
    """Read a model with its confidences, where it has some that are to be used."""
    if confidence == "none" or (confidence == "auto" and find_scores(model) is None):
        return None
    return read_prediction(model, None if confidence == "auto" else confidence)


def keep_placed(atoms: AtomTable, restraints: Restraints | None, model: Path) -> AtomTable:
    """Leave out the atoms of residues that are not predicted to lie anywhere."""
    if restraints is None:
        return atoms
    rows = _find_rows(atoms.residue_keys(), restraints)
    kept = np.append(restraints.placed, True)[rows]
    if not kept.any():
        msg = (
            f"no residue of {model} is predicted well enough to be docked (pLDDT 50 or more, and "
            "low PAE to others); take another prediction, or give --confidence none"
        )
        raise CryoswayError(msg)
    return atoms[kept]


@final
@dataclass(frozen=True, eq=False)
class BeadRestraints:
    """Restraints on the beads of a model.

    Attributes
    ----------
    restraints
        Of residues.
    rows
        Shape (N,): the residue of each bead; −1 where the prediction does not have it.
    """

    restraints: Restraints
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, model: CoarseModel, restraints: Restraints) -> "BeadRestraints":
        """Find the residues of a model's beads by chain and number."""
        places = zip(
            model.chains.tolist(),
            model.residue_numbers.tolist(),
            model.insertion_codes.tolist(),
            strict=True,
        )
        rows = _find_rows(list(places), restraints)
        if (rows == _UNKNOWN).all():
            msg = (
                "the confidences are of other residues than the model's: no chain and number is "
                "in both; give those of this model, or --confidence none"
            )
            raise CryoswayError(msg)
        return cls(restraints, rows)

    def weigh(self, pairs: NDArray[np.integer]) -> FloatArray:
        """Give the stiffness (E,) of pairs (E, 2) of beads; 1 where nothing is known."""
        residues = self.rows[pairs]
        known = (residues != _UNKNOWN).all(axis=1)
        stiffness = np.ones(len(pairs))
        stiffness[known] = self.restraints.stiffness(residues[known])
        return stiffness

    def segment_places(self) -> NDArray[np.float32]:
        """Give beads places (N, S) that are far apart for different rigid segments.

        Beads of no segment lie in the middle, so that their position decides.
        """
        segments = np.append(self.restraints.segments, 0)[self.rows]
        count = int(segments.max(initial=0))
        places = np.full((len(segments), count), 1 / max(1, count), np.float32)
        inside = segments > 0
        places[inside] = np.eye(count, dtype=np.float32)[segments[inside] - 1]
        return np.asarray(_APART * places, np.float32)


def _find_rows(keys: list[tuple[str, int, str]], restraints: Restraints) -> NDArray[np.intp]:
    where = {key: row for row, key in enumerate(restraints.keys)}
    return np.array([where.get(key, _UNKNOWN) for key in keys], np.intp)
