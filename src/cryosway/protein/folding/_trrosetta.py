"""trRosetta as an engine: an alignment, distances of its residues, and a backbone that fits them.

Coarser than ESMFold, but its weights are free to install: five networks of 2020, whose
distances make the restraints, and the backbone's confidences too:

- pLDDT of a residue is what its distances to others in the model would score under their predicted
  distributions: the expected lDDT, times 100;
- PAE of a pair is the root mean square difference of its predicted distance from the model's; of
  pairs beyond 20 Å, whose distance is not predicted, the sum along the surest path between them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from cryosway._errors import CryoswayError
from cryosway.engine import write_atomically
from cryosway.protein._sequences import SequenceRecord
from cryosway.protein.comparison import LDDT_LIMITS, LDDT_RADIUS
from cryosway.protein.folding._alignment_search import AlignmentSearch
from cryosway.protein.folding._esmfold import build_atoms
from cryosway.protein.folding._file_names import choose_file_names
from cryosway.protein.folding._geometry_fold import fold_backbone, virtual_beta
from cryosway.protein.folding._trrosetta_network import (
    PairDistributions,
    load_networks,
    make_features,
    parse_alignment,
    predict_pairs,
    read_alignment,
)
from cryosway.protein.prediction import Prediction

FloatArray = NDArray[np.float64]

_UNKNOWN_ERROR, _LEAST = 32.0, 0.01  # Å
_SURE = 0.5  # probability to be beyond 20 Å up to which a distance counts as predicted


@final
class TrRosetta:
    """Weights of trRosetta with alignments to fold by.

    Parameters
    ----------
    weights
        Folder with ``*.pt``: models.tar.gz of the package tr-rosetta-pytorch 0.0.3, unpacked.
    alignments
        Folder with NAME.a3m for each record, or one A3M file for a single record; the first row is
        the sequence. Without one a sequence is folded alone, which tells little.
    device
        Where to compute.
    database
        FASTA in which MMseqs2 looks for relatives of records without an alignment; what it finds
        is written to the folder of alignments, if one is given.
    steps
        Of the descent of the backbone.
    """

    name = "trrosetta"

    def __init__(
        self,
        weights: Path,
        alignments: Path | None = None,
        device: torch.device | str = "cpu",
        *,
        database: Path | None = None,
        steps: int = 400,
    ) -> None:
        self.device = torch.device(device)
        if database is None and alignments is not None and not alignments.exists():
            msg = f"{alignments}: there are no such alignments; give a folder of A3M files, or one"
            raise CryoswayError(msg)
        threads = torch.get_num_threads()
        self._search = None if database is None else AlignmentSearch(database, threads)
        self._networks = load_networks(weights, self.device)
        self._alignments, self._steps = alignments, steps

    def choose_chunk(self, length: int, count: int) -> int | None:
        """Choose nothing: pairs are computed as a whole."""
        return None

    def fold(self, records: Sequence[SequenceRecord], chunk: int | None) -> list[Prediction]:
        """Fold records one by one; see `FoldingEngine`."""
        return [self._fold(record) for record in records]

    def predict(self, record: SequenceRecord) -> PairDistributions:
        """Predict what lies between the residues of a record."""
        if len(record.chains) > 1:
            msg = f"{record.name} is a complex, which trRosetta does not fold; give one chain each"
            raise CryoswayError(msg)
        features = make_features(self._find_alignment(record))
        return predict_pairs(self._networks, features, self.device)

    def _fold(self, record: SequenceRecord) -> Prediction:
        pairs = self.predict(record)
        backbone = fold_backbone(pairs, steps=self._steps).atoms
        plddt, pae = judge_model(pairs, backbone)
        return make_prediction(record, backbone, plddt, pae)

    def _find_alignment(self, record: SequenceRecord) -> list[str]:
        path = self._name_alignment(record)
        if path is not None and path.is_file():
            rows = read_alignment(path)
            if rows[0].replace("-", "") == record.sequence:
                return rows
            msg = f"{path}: the first row is not the sequence of {record.name}; put it there"
            raise CryoswayError(msg)
        if self._search is None:
            return [record.sequence]
        found = self._search.align(record)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(path) as temporary:
                temporary.write_text(found, encoding="utf-8")
        return parse_alignment(found, f"the alignment of {record.name}")

    def _name_alignment(self, record: SequenceRecord) -> Path | None:
        place = self._alignments
        if place is None or place.is_file():
            return place
        return place / f"{choose_file_names([record])[0]}.a3m"


def judge_model(pairs: PairDistributions, backbone: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Judge a backbone (L, 3, 3), Å, by the distributions that made it.

    Returns
    -------
    pLDDT (L,), 0 to 100, and PAE (L, L), Å, as the top of this file defines them.
    """
    beta = virtual_beta(torch.from_numpy(backbone)).numpy()
    apart = np.linalg.norm(beta[:, None] - beta, axis=-1)
    share = pairs.distance.double().numpy()
    centres = 2.25 + 0.5 * np.arange(share.shape[-1] - 1)
    off = np.abs(centres - apart[..., None])
    kept = np.mean([(off < limit) for limit in LDDT_LIMITS], axis=0)
    expected = (share[..., 1:] * kept).sum(-1)
    near = (apart < LDDT_RADIUS) & ~np.eye(len(apart), dtype=bool)
    plddt = 100 * (expected * near).sum(-1) / np.maximum(near.sum(-1), 1)
    near_enough = np.maximum(1 - share[..., 0], 1e-6)
    error = np.sqrt((share[..., 1:] * off**2).sum(-1) / near_enough)
    known = (share[..., 0] < _SURE) & ~np.eye(len(apart), dtype=bool)
    # Errors along a path add up: turns of the parts between them are not known.
    along = shortest_path(np.where(known, np.maximum(error, _LEAST), 0), directed=False)
    pae = np.minimum(np.where(known, error, along), _UNKNOWN_ERROR)
    return plddt, pae


def make_prediction(
    record: SequenceRecord, backbone: FloatArray, plddt: FloatArray, pae: FloatArray
) -> Prediction:
    """Make a prediction of N, Cα and C atoms."""
    places = np.zeros((len(backbone), 14, 3))
    places[:, :3] = backbone
    chains = np.zeros(len(backbone), np.int64)
    atoms = build_atoms(record.sequence, chains, places, plddt)
    atoms = atoms.select_atoms(["N", "CA", "C"])
    return Prediction(record.name, atoms, plddt, pae, source=TrRosetta.name)
