"""The options of ``cryosway protein embed``, ``score``, ``contacts`` and ``train``.

Light, as `cryosway.methods._options` is: the command line shows it as help.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cryosway.engine import Options
from cryosway.methods._options import SEED
from cryosway.methods._protein.fold_options import FETCH, Shard

Precision = Literal["auto", "float32", "bf16"]

CHECKPOINT: Any = Field(
    description="ESM-2 in the layout of Hugging Face: a folder with config.json and "
    "model.safetensors, or a name that was fetched before"
)
PRECISION: Any = Field(
    "auto", description="of matrix products; auto: bf16 where the device has arithmetic for it"
)
SKIP_BAD: Any = Field(
    False,
    description="leave out records that are no protein sequences, or do not fit into memory, and "
    "list them",
)
BATCH_TOKENS: Any = Field(4_096, ge=1, description="residues that are computed at a time")


class EmbedOptions(Options):
    """Options of `embed`."""

    checkpoint: Path = CHECKPOINT
    fetch: bool = FETCH
    per: Literal["residue", "sequence", "both"] = Field(
        "both", description="rows of the result: one per residue, their mean, or both"
    )
    layers: tuple[int, ...] = Field(
        (-1,),
        description="layers whose representations to write, from 0 (before the first); negative: "
        "from the last; may be repeated",
    )
    format: Literal["safetensors", "parquet"] = Field(
        "safetensors", description="of the files with the result"
    )
    dtype: Literal["float32", "float16"] = Field("float32", description="of the written numbers")
    longest: int | None = Field(
        None, ge=1, description="residues of a sequence at most; default: no limit"
    )
    skip_bad: bool = SKIP_BAD
    shard_residues: int = Field(
        250_000, ge=1, description="residues per file, about; its sequences are sorted by length"
    )
    shard: Shard = Field(
        (1, 1), description="compute part i of n of the files, as 2 8; several processes share"
    )
    batch_tokens: int = BATCH_TOKENS
    precision: Precision = PRECISION


class ScoreOptions(Options):
    """Options of `score`."""

    checkpoint: Path = CHECKPOINT
    fetch: bool = FETCH
    method: Literal["masked", "single"] = Field(
        "masked",
        description="masked: each residue is hidden once (as many passes as residues); single: "
        "one pass in which the model sees everything",
    )
    mutations: bool = Field(
        False, description="score every exchange of one residue: a table and a picture"
    )
    longest: int | None = Field(None, ge=1, description="residues of a sequence at most")
    skip_bad: bool = SKIP_BAD
    batch_tokens: int = BATCH_TOKENS
    precision: Precision = PRECISION


class ContactsOptions(Options):
    """Options of `contacts`."""

    checkpoint: Path = CHECKPOINT
    fetch: bool = FETCH
    structure: tuple[Path, ...] = Field(
        (),
        description="structures of the sequences, in their order, to compare with: mmCIF or PDB; "
        "may be repeated",
    )
    train_on: Path | None = Field(
        None,
        description="folder of structures on which a head is trained; default: the checkpoint's",
    )
    head: Path | None = Field(
        None, description="head trained before: contact_head.safetensors of an earlier result"
    )
    longest: int | None = Field(None, ge=1, description="residues of a sequence at most")
    precision: Precision = Field(
        "float32", description="of matrix products; contacts are small differences of attention"
    )
    seed: int = SEED


class ProteinTrainOptions(Options):
    """Options of `train_language_model`."""

    size: Literal["150K", "1M", "3M", "8M", "35M", "150M", "650M", "3B", "15B"] = Field(
        "8M", description="number of parameters; from 8M on the published sizes of ESM-2"
    )
    start: Path | None = Field(
        None, description="checkpoint to go on from, instead of a new model of the size"
    )
    clusters: Literal["auto", "none"] | Path = Field(
        "auto",
        description="which sequences are alike: a table of cluster and member; auto: by MMseqs2 at "
        "50 % identity, where installed; none: every sequence counts by itself",
    )
    steps: int = Field(500_000, ge=1, description="of training")
    batch_tokens: int = Field(
        2_000_000, ge=1, description="residues per step, about, of all processes together"
    )
    crop: int = Field(1_024, ge=8, description="residues of a sequence at most; longer: a window")
    learning_rate: float = Field(4e-4, gt=0, description="at its peak")
    warmup: int = Field(2_000, ge=0, description="steps until the peak")
    held_out: float = Field(
        0.005, gt=0, lt=0.9, description="share of the clusters kept from training, to judge on"
    )
    validate_every: int = Field(1_000, ge=1, description="steps between judgements")
    shard_weights: bool = Field(
        False,
        description="cut weights and the optimiser's state into a piece per process (FSDP), for "
        "sizes that do not fit into one GPU",
    )
    recompute: bool = Field(
        False, description="compute layers twice to save memory (gradient checkpointing)"
    )
    precision: Precision = PRECISION
    time_limit: float | None = Field(
        None, gt=0, description="minutes after which to stop; the same command goes on"
    )
    loader_threads: int = Field(1, ge=0, description="threads that draw batches ahead")
    seed: int = SEED
