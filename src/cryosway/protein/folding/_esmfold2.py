"""ESMFold2 (Biohub, 2026) by the network of transformers: a trunk, and atoms by diffusion.

Atoms are drawn at random several times from one trunk; the draw with the highest pTM is taken. The
same seed draws the same atoms, whatever else is folded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import choose_precision, is_out_of_memory
from cryosway.protein._checkpoint import load_network, open_checkpoint
from cryosway.protein._sequences import SequenceRecord
from cryosway.protein.folding._esmfold import SUBSTITUTES, Precision, name_atoms
from cryosway.protein.prediction import Prediction


@final
class EsmFold2:
    """An ESMFold2 checkpoint that is ready to fold single chains.

    Parameters
    ----------
    checkpoint
        Folder in the layout of Hugging Face, as ``biohub/ESMFold2`` (26 GB at its peak).
    device
        Where to compute.
    precision
        ``bf16`` computes the language model, most of the network, in bf16.
    recycles
        How often the trunk's result is fed back after the first pass; the checkpoint's where None.
    seed
        Of the draws.
    fetch
        Whether a checkpoint given by name may be fetched.
    """

    name = "esmfold2"

    def __init__(
        self,
        checkpoint: str | Path,
        device: torch.device | str = "cpu",
        *,
        precision: Precision = "auto",
        recycles: int | None = None,
        seed: int = 0,
        fetch: bool = False,
    ) -> None:
        found = open_checkpoint(checkpoint, "folding2", fetch=fetch)
        try:
            from transformers import EsmFold2Model
        except ImportError:
            msg = "this transformers has no ESMFold2; pip install -U transformers, or use esmfold"
            raise CryoswayError(msg) from None

        self.device = torch.device(device)
        self.precision = choose_precision(precision, self.device)
        network: Any = load_network(found, EsmFold2Model)
        if self.precision == "bf16":
            network.esmc.bfloat16()
        self.network = network.to(self.device)
        self._recycles, self._seed = recycles, seed

    def choose_chunk(self, length: int, count: int) -> int | None:
        """Choose nothing: the checkpoint says how many rows are computed at a time."""
        return None

    def fold(self, records: Sequence[SequenceRecord], chunk: int | None) -> list[Prediction]:
        """Fold records one by one; see `FoldingEngine`."""
        return [self._fold(record) for record in records]

    def _fold(self, record: SequenceRecord) -> Prediction:
        if len(record.chains) > 1:
            msg = (
                f"{record.name} is a complex, which is not folded by ESMFold2 here; take "
                "--engine esmfold, or give one chain each"
            )
            raise CryoswayError(msg)
        table = str.maketrans(SUBSTITUTES)
        letters = record.sequence.translate(table)
        try:
            return self._read(record.name, letters, *self._run(letters))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if self.device.type == "cuda":  # outside of the handler, which keeps tensors alive
            torch.cuda.empty_cache()
        msg = f"{record.name}: {len(record)} residues do not fit into memory"
        raise MemoryError(msg)

    @torch.no_grad()
    def _run(self, letters: str) -> tuple[dict[str, Tensor], Any]:
        """Give the network's features of a sequence, and what it makes of them."""
        from transformers.models.esmfold2.protein_utils import prepare_protein_features

        features = prepare_protein_features(letters, device=self.device)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self._seed)
            return features, self.network.fold(**features, num_loops=self._recycles)

    def _read(self, name: str, letters: str, features: dict[str, Tensor], out: Any) -> Prediction:
        best = int(out.ptm.float().argmax())
        atoms = features["atom_attention_mask"][0].cpu()
        plddt = 100 * out.plddt_ca[best].double().cpu().numpy()
        places = out.sample_atom_coords[best].double().cpu()[atoms].numpy()
        if not np.isfinite(places).all():
            msg = f"{name}: the network gave coordinates that are no numbers"
            raise CryoswayError(msg)
        coded = features["ref_atom_name_chars"][0].cpu()[atoms].tolist()
        return Prediction(
            name,
            name_atoms(
                letters,
                np.zeros(len(letters), np.int64),
                plddt,
                owners=features["atom_to_token"][0].cpu()[atoms].numpy(),
                names=["".join(chr(code + 32) for code in codes).strip() for codes in coded],
                coordinates=places,
            ),
            plddt,
            out.pae[best].double().cpu().numpy(),
            float(out.ptm[best]),
            source=self.name,
        )
