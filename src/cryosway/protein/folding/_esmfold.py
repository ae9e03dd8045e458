"""ESMFold (Lin et al., Science 379, 1123, 2023) by the network of transformers.

Around it is mended what surprises: logits of the confidence heads are cropped to each protein
before they become pTM and PAE, pLDDT is that of the Cα and 0 to 100, complexes have chains, and
numbers are float32 before they are written, whatever the network computed in.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import (
    autocast,
    available_memory_bytes,
    choose_precision,
    is_out_of_memory,
)
from cryosway.protein._atoms import AtomTable
from cryosway.protein._checkpoint import load_network, open_checkpoint
from cryosway.protein._sequences import SequenceRecord
from cryosway.protein.folding._assembly import LINKER, Assembly, lay_out, name_chain
from cryosway.protein.folding._confidence_heads import expected_errors, predicted_tm
from cryosway.protein.prediction import Prediction

Precision = Literal["auto", "float32", "bf16"]

#: Letters that the network has no atoms for → those that it folds in their place.
SUBSTITUTES = {"U": "C", "O": "K", "B": "D", "Z": "E"}
_CHUNKS = (256, 128, 64, 32, 16, 8)
#: Without chunks, results above some 1,000 residues were nonsense with a pTM of 1 (esm#641).
_LONGEST_WHOLE = 700
_MEMORY_SHARE = 0.25
_BYTES = 48  # per pair and row of a chunk: 4 heads, 3 arrays of 4 bytes


@final
class EsmFold:
    """An ESMFold checkpoint that is ready to fold.

    Parameters
    ----------
    checkpoint
        Folder in the layout of Hugging Face, as ``facebook/esmfold_v1``.
    device
        Where to compute.
    precision
        ``bf16`` computes the language model and the trunk's matrix products in bf16; the
        structure module stays in float32.
    recycles
        How often the trunk's result is fed back to it *after* the first pass, so that there are
        ``recycles + 1`` passes. Where None, the checkpoint's number of passes less one, which is
        3 for the published one.
    linker
        Glycines between the chains of a complex; 0 for a break in the numbers alone.
    fetch
        Whether a checkpoint given by name may be fetched.
    """

    name = "esmfold"

    def __init__(
        self,
        checkpoint: str | Path,
        device: torch.device | str = "cpu",
        *,
        precision: Precision = "auto",
        recycles: int | None = None,
        linker: int = LINKER,
        fetch: bool = False,
    ) -> None:
        found = open_checkpoint(checkpoint, "folding", fetch=fetch)
        from transformers import EsmForProteinFolding

        self.device = torch.device(device)
        self.precision = choose_precision(precision, self.device)
        network: Any = load_network(found, EsmForProteinFolding)
        if self.precision == "bf16":
            network.esm.bfloat16()
        self.network = network.to(self.device)
        trunk = self.network.config.esmfold_config.trunk
        self.recycles = max(0, trunk.max_recycles - 1) if recycles is None else recycles
        self.linker = linker
        structure = self.network.trunk.structure_module
        structure.forward = _stay_exact(structure.forward, self.device)

    def choose_chunk(self, length: int, count: int) -> int | None:
        """Choose the largest chunk that a quarter of the free memory holds; none if all fits."""
        rows = int(_MEMORY_SHARE * _free_memory(self.device) / (_BYTES * count * length**2))
        if rows >= length and length <= _LONGEST_WHOLE:
            return None
        return next((size for size in _CHUNKS if size <= rows), _CHUNKS[-1])

    def fold(self, records: Sequence[SequenceRecord], chunk: int | None) -> list[Prediction]:
        """Fold records as one batch; see `FoldingEngine`."""
        rows = [lay_out(_substitute(record), self.linker) for record in records]
        try:
            raw = self.run(rows, chunk)
            found = enumerate(zip(records, rows, strict=True))
            return [self._finish(record, row, raw, at) for at, (record, row) in found]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback would keep the tensors alive.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        longest = max(map(len, rows))
        msg = f"{len(rows)} of {longest} residues at a chunk of {chunk} do not fit into memory"
        raise MemoryError(msg)

    @torch.no_grad()  # inference mode would leave its tensors in caches of transformers
    def run(self, rows: Sequence[Assembly], chunk: int | None) -> dict[str, Tensor]:
        """Run the network on a padded batch; its outputs, on the CPU, float32."""
        from transformers.models.esm.openfold_utils import residue_constants

        longest = max(map(len, rows))
        kinds = torch.zeros(len(rows), longest, dtype=torch.long)
        mask, places = torch.zeros_like(kinds), torch.zeros_like(kinds)
        order = residue_constants.restype_order_with_x
        for at, row in enumerate(rows):
            kinds[at, : len(row)] = torch.tensor([order[letter] for letter in row.letters])
            mask[at, : len(row)] = 1
            places[at, : len(row)] = torch.from_numpy(row.places)
            # Numbers go on over the padding, which is masked.
            places[at, len(row) :] = int(row.places[-1]) + 1 + torch.arange(longest - len(row))
        self.network.trunk.set_chunk_size(chunk)
        with autocast(self.precision, self.device):
            out = self.network(
                kinds.to(self.device),
                mask.to(self.device),
                position_ids=places.to(self.device),
                num_recycles=self.recycles,
            )
        wanted = {
            "positions": out["positions"][-1],
            "plddt": out["plddt"][:, :, 1],  # atom 1 of 37 is the Cα
            "ptm_logits": out["ptm_logits"],
        }
        return {name: value.float().cpu() for name, value in wanted.items()}

    def _finish(
        self, record: SequenceRecord, row: Assembly, raw: dict[str, Tensor], at: int
    ) -> Prediction:
        """Crop to the protein, take linkers out, and name the chains."""
        kept = torch.from_numpy(np.flatnonzero(row.kept))
        positions = raw["positions"][at][kept].double().numpy()
        if not np.isfinite(positions).all():
            msg = f"{record.name}: the network gave coordinates that are no numbers"
            raise CryoswayError(msg)
        logits = raw["ptm_logits"][at][kept][:, kept]
        chains = torch.from_numpy(row.chains[row.kept])
        several = int(chains.max()) > 0
        letters = "".join(np.array(list(row.letters))[row.kept])
        plddt = 100 * raw["plddt"][at][kept].double().numpy()
        return Prediction(
            record.name,
            build_atoms(letters, chains.numpy(), positions, plddt),
            plddt,
            expected_errors(logits).double().numpy(),
            predicted_tm(logits),
            predicted_tm(logits, chains) if several else None,
            self.name,
        )


def build_atoms(
    letters: str,
    chains: NDArray[np.int64],
    positions: NDArray[np.float64],
    plddt: NDArray[np.float64],
) -> AtomTable:
    """Name the atoms of residues, in the network's order of 14; of unknown ones only the Cα.

    Parameters
    ----------
    letters
        L residues.
    chains
        Shape (L,): number of the chain of each; residues are numbered from 1 in each.
    positions
        Shape (L, 14, 3), Å.
    plddt
        Shape (L,): the B factors.
    """
    from transformers.models.esm.openfold_utils import residue_constants as known

    owners: list[int] = []
    slots: list[int] = []
    names: list[str] = []
    for row, letter in enumerate(letters):
        listed = known.restype_name_to_atom14_names[known.restype_1to3.get(letter, "UNK")]
        present = [(slot, name) for slot, name in enumerate(listed) if name] or [(1, "CA")]
        owners += [row] * len(present)
        slots += [slot for slot, _ in present]
        names += [name for _, name in present]
    at = np.array(owners)
    found = positions[at, np.array(slots)]
    return name_atoms(letters, chains, plddt, owners=at, names=names, coordinates=found)


def name_atoms(
    letters: str,
    chains: NDArray[np.int64],
    plddt: NDArray[np.float64],
    *,
    owners: NDArray[np.int64],
    names: Sequence[str],
    coordinates: NDArray[np.float64],
) -> AtomTable:
    """Make a table of atoms, whose residues are numbered from 1 in each chain.

    Parameters
    ----------
    letters, chains, plddt
        As of `build_atoms`.
    owners, names, coordinates
        Of A atoms: the residue, from 0; the name; and the place, shape (A, 3), Å.
    """
    numbers = np.concatenate([np.arange(1, n + 1) for n in np.bincount(chains)])
    elements = np.array([name[0] for name in names])
    atomic = {"C": 6, "N": 7, "O": 8, "S": 16}
    titles = [gemmi.expand_one_letter(letter, gemmi.ResidueKind.AA) or "UNK" for letter in letters]
    return AtomTable(
        coordinates=coordinates,
        elements=elements,
        atomic_numbers=np.array([atomic[e] for e in elements], np.int16),
        chains=np.array([name_chain(n) for n in chains.tolist()], dtype="U8")[owners],
        residue_names=np.array(titles, dtype="U8")[owners],
        residue_numbers=numbers[owners].astype(np.int32),
        insertion_codes=np.full(len(owners), "", dtype="U1"),
        atom_names=np.array(names, dtype="U8"),
        occupancies=np.ones(len(owners)),
        b_factors=plddt[owners],
    )


def _substitute(record: SequenceRecord) -> tuple[str, ...]:
    table = str.maketrans(SUBSTITUTES)
    return tuple(chain.translate(table) for chain in record.chains)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory_bytes()


def _stay_exact(forward: Any, device: torch.device) -> Any:
    """Make a module compute in float32 also within autocast."""

    def exact(features: dict[str, Tensor], *rest: Any, **named: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            plain = {name: value.float() for name, value in features.items()}
            return forward(plain, *rest, **named)

    return exact
