"""Representations of residues and of sequences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway._errors import CryoswayError
from cryosway.protein.language._alphabet import tokenise
from cryosway.protein.language._model import LanguageModel, split_rows
from cryosway.protein.language._network import encode, encode_layers
from cryosway.protein.language._packed import Packed

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM

Numbers = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class Embeddings:
    """Representations of some sequences at one layer.

    Attributes
    ----------
    residues : list of ndarray, shape (L, width)
        Of each sequence's residues; empty where not asked for.
    means : ndarray, shape (N, width)
        Over each sequence's residues, <cls> and <eos> left out.
    """

    residues: list[Numbers]
    means: Numbers


def resolve_layers(layers: Sequence[int], count: int) -> tuple[int, ...]:
    """Turn numbers from the last layer (-1) into numbers from the first: 0 is its input.

    Raises
    ------
    CryoswayError
        When there is no such layer.

    Examples
    --------
    >>> resolve_layers((-1, 0), 6)
    (6, 0)
    """
    found = tuple(layer if layer >= 0 else count + 1 + layer for layer in layers)
    for given, layer in zip(layers, found, strict=True):
        if not 0 <= layer <= count:
            message = f"there is no layer {given}: the model has layers 0 to {count}"
            raise CryoswayError(message)
    return found


def embed_sequences(
    model: LanguageModel,
    sequences: Sequence[str],
    *,
    layers: Sequence[int] = (-1,),
    per_residue: bool = True,
    batch_tokens: int = 4_096,
) -> dict[int, Embeddings]:
    """Compute representations of sequences.

    Parameters
    ----------
    model : LanguageModel
        The network.
    sequences : sequence of str
        Upper case.
    layers : sequence of int, optional
        Which layers; negative ones count from the last.
    per_residue : bool, optional
        Whether those of residues are kept, and not only their means.
    batch_tokens : int, optional
        Residues computed at a time.

    Returns
    -------
    dict[int, Embeddings]
        By layer, in the order of the sequences.
    """
    wanted = resolve_layers(layers, model.layers)

    def work(network: "EsmForMaskedLM", batch: Packed) -> list[list[Numbers]]:
        if wanted == (model.layers,):
            states = [encode(network, batch)]
        else:
            kept = {n: x for n, x in enumerate(encode_layers(network, batch)) if n in wanted}
            states = [kept[layer] for layer in wanted]
        return [_reduce(rows, batch, per_residue=per_residue) for rows in states]

    found: list[list[Numbers]] = [[np.empty(0, np.float32)] * len(sequences) for _ in wanted]
    tokens = [tokenise(sequence) for sequence in sequences]
    for numbers, results in model.compute(work, tokens, batch_tokens):
        for target, parts in zip(found, results, strict=True):
            for number, part in zip(numbers, parts, strict=True):
                target[number] = part
    return {
        layer: _collect(parts, per_residue=per_residue)
        for layer, parts in zip(wanted, found, strict=True)
    }


def _reduce(rows: torch.Tensor, batch: Packed, *, per_residue: bool) -> list[Numbers]:
    """Take to the CPU what is asked for of each sequence: all residues, or their mean."""
    parts = split_rows(rows.float(), batch.lengths)
    if not per_residue:
        means = torch.stack([part.mean(0) for part in parts]).cpu().numpy()
        return list(means)
    return [part.cpu().numpy() for part in parts]


def _collect(parts: list[Numbers], *, per_residue: bool) -> Embeddings:
    if not per_residue:
        return Embeddings([], np.stack(parts))
    return Embeddings(parts, np.stack([part.mean(0) for part in parts]))
