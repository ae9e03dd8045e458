"""The options of ``cryosway protein fold`` and ``atlas``; light, as `_options` is."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cryosway.engine import Options

Engine = Literal["esmfold", "esmfold2", "trrosetta", "files"]


def _check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    part, parts = shard
    if not 1 <= part <= parts:
        msg = f"shard is {part} of {parts}, but parts are numbered from 1 to their count"
        raise ValueError(msg)
    return shard


#: Part i of n, from 1.
Shard = Annotated[tuple[int, int], AfterValidator(_check_shard)]

ALIGNMENTS: Any = Field(
    None,
    description="trrosetta: folder with NAME.a3m for each record, or one A3M file; what is found "
    "in the database is written to the folder",
)
DATABASE: Any = Field(
    None,
    description="trrosetta: FASTA of many sequences, as UniRef50, in which MMseqs2 (where it is "
    "installed) looks for relatives of records without an alignment",
)
FETCH: Any = Field(False, description="fetch a checkpoint given by name from the Hugging Face hub")


class FoldOptions(Options):
    """Options of `fold`."""

    checkpoint: Path | None = Field(
        None,
        description="ESMFold in the layout of Hugging Face: a folder with config.json and "
        "model.safetensors, or a name that was fetched before; trrosetta: the folder of its "
        "weights (*.pt); files: that of models of another program",
    )
    engine: Engine = Field(
        "esmfold",
        description="esmfold; esmfold2: single chains, by diffusion; trrosetta: a coarse backbone "
        "by an alignment; or files: predictions "
        "that AlphaFold DB, ColabFold, AlphaFold 3 or Boltz have made, found by their sequences",
    )
    alignments: Path | None = ALIGNMENTS
    database: Path | None = DATABASE
    fetch: bool = FETCH
    recycles: int | None = Field(
        None,
        ge=0,
        description="times the result is fed back after the first pass: n is n + 1 passes; "
        "default: 3, or as the checkpoint says",
    )
    complex: bool = Field(
        False, description="all records are the chains of one complex; or join chains by : in one"
    )
    linker: int = Field(
        25,
        ge=0,
        description="glycines between the chains of a complex while it is folded; 0: a break in "
        "the numbering alone",
    )
    chunk: Literal["auto"] | int = Field(
        "auto",
        description="rows of pairs computed at a time, less for less memory; auto: by length and "
        "memory; 0: all",
    )
    batch_residues: int = Field(
        1_024, ge=1, description="residues folded at a time, of sequences of about one length"
    )
    longest: int | None = Field(
        None, ge=1, description="residues of a sequence at most; longer ones are left out"
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="of matrix products; auto: bf16 where the device has arithmetic for it"
    )
    shard: Shard = Field(
        (1, 1), description="fold part i of n of the sequences, as 2 8; several processes share"
    )
    pictures: int = Field(50, ge=0, description="predictions of which pictures are drawn, at most")


class AtlasOptions(Options):
    """Options of `atlas`."""

    min_plddt: float = Field(0.0, ge=0, le=100, description="least mean pLDDT to be taken")
    min_ptm: float = Field(0.0, ge=0, le=1, description="least pTM to be taken, where it is known")
    shard_size: int = Field(1_000, ge=1, description="structures per file")
