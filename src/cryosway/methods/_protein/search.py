"""`protein search`: what an atlas has, by sequence, confidence or structure."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import write_table
from cryosway.methods._protein.atlas import Atlas
from cryosway.protein import read_sequences

_WORD = 4
_MOST_ALIGNED = 200
_FOLDSEEK = (
    "searching by structure needs Foldseek, which is not installed here; see "
    "https://github.com/steineggerlab/foldseek"
)


def search_atlas(
    atlas: str | Path,
    *,
    sequence: str | Path | None = None,
    structure: str | Path | None = None,
    min_identity: float = 0.3,
    min_plddt: float = 0.0,
    min_ptm: float = 0.0,
    longest: int | None = None,
    most: int = 100,
    out: str | Path | None = None,
) -> pd.DataFrame:
    """Find predictions in an atlas, by confidence and one of sequence and structure.

    Parameters
    ----------
    atlas : path
        Folder that `atlas` has made.
    sequence : str or path, optional
        Letters, or a FASTA file: predictions with this sequence, or like it.
    structure : path, optional
        mmCIF or PDB: predictions of a like shape, by Foldseek where it is installed.
    min_identity : float
        Least identity of aligned residues, of the shorter sequence, from 0 to 1.
    min_plddt, min_ptm : float
        Least mean pLDDT (0 to 100) and pTM (0 to 1).
    longest : int, optional
        Residues at most.
    most : int
        Rows of the result at most, the best first.
    out : path, optional
        Folder to which the models found are written, with ``found.parquet``.

    Returns
    -------
    DataFrame
        Rows of the atlas, with ``query`` and ``identity`` (sequence) or ``tm`` (structure).

    Raises
    ------
    CryoswayError
        When it is no atlas, or Foldseek is needed and missing.
    """
    opened = Atlas(atlas)
    table = opened.table.assign(place=np.arange(len(opened)))
    kept = table["plddt"] >= min_plddt
    kept &= table["ptm"].fillna(1.0) >= min_ptm
    if longest is not None:
        kept &= table["length"] <= longest
    table = table[kept]
    if sequence is not None and structure is not None:
        msg = "search by sequence or by structure, not by both at once"
        raise CryoswayError(msg)
    if sequence is not None:
        table = _by_sequence(table, _read_queries(sequence), min_identity)
    elif structure is not None:
        table = _by_structure(opened, table, Path(structure))
    else:
        table = table.sort_values("plddt", ascending=False, kind="stable")
    found = table.head(most)
    if out is not None:
        places = found["place"].drop_duplicates().tolist()
        opened.write(places, out)
    found = found.drop(columns="place").reset_index(drop=True)
    if out is not None:
        write_table(Path(out) / "found.parquet", found)
    return found


def _read_queries(given: str | Path) -> dict[str, str]:
    if isinstance(given, str) and given.replace(":", "").isalpha():
        return {"query": given.upper()}
    return {record.name: record.sequence for record in read_sequences(given, complexes=True)}


def _by_sequence(table: pd.DataFrame, queries: dict[str, str], min_identity: float) -> pd.DataFrame:
    """Align each query with the sequences that share most words of four residues with it."""
    words = [_words(sequence) for sequence in table["sequence"]]
    parts = []
    for name, query in queries.items():
        own = _words(query)
        shared = np.array([len(own & other) for other in words])
        nearest = np.argsort(-shared, kind="stable")[:_MOST_ALIGNED]
        nearest = nearest[(shared[nearest] > 0) | (table["sequence"].iloc[nearest] == query)]
        part = table.iloc[nearest]
        identity = [align_identity(query, other) for other in part["sequence"]]
        parts.append(part.assign(query=name, identity=identity))
    together = pd.concat(parts)
    together = together[together["identity"] >= min_identity]
    return together.sort_values(["query", "identity", "plddt"], ascending=[True, False, False])


def _words(sequence: str) -> set[str]:
    return {sequence[i : i + _WORD] for i in range(len(sequence) - _WORD + 1)}


def align_identity(first: str, second: str) -> float:
    """Give the part of the shorter sequence that is the same after global alignment.

    Examples
    --------
    >>> align_identity("MKTAYIAK", "MKTAYIAKQR")
    1.0
    """
    one, other = (
        [gemmi.expand_one_letter(x, gemmi.ResidueKind.AA) or "UNK" for x in letters if x != ":"]
        for letters in (first, second)
    )
    found = gemmi.align_string_sequences(one, other, [], gemmi.AlignmentScoring("b"))
    return float(found.match_count / min(len(one), len(other)))


def _by_structure(atlas: Atlas, table: pd.DataFrame, query: Path) -> pd.DataFrame:
    program = shutil.which("foldseek")
    if program is None:
        raise CryoswayError(_FOLDSEEK)
    if not query.is_file():
        msg = f"{query}: no such structure file; give an mmCIF or PDB file"
        raise CryoswayError(msg)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        atlas.write(table["place"].tolist(), base / "targets", scores=False)
        result = base / "result.tsv"
        _run_foldseek([program, "easy-search", str(query), str(base / "targets"), str(result),
                       str(base / "work"), "--format-output", "target,alntmscore"])  # fmt: skip
        hits = pd.read_csv(result, sep="\t", names=["key", "tm"], dtype={"key": str})
    # Targets are file names, with the chain where there are several, by some versions without .cif.
    known = set(table["key"])
    bare = hits["key"].str.replace(r"\.cif(_.*)?$", "", regex=True)
    hits["key"] = bare.where(bare.isin(known), bare.str.rpartition("_")[0])
    best = hits.groupby("key")["tm"].max()
    found = table[table["key"].isin(best.index)]
    return found.assign(tm=found["key"].map(best)).sort_values("tm", ascending=False)


def _run_foldseek(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        msg = f"Foldseek failed: {' '.join(last)}"
        raise CryoswayError(msg)
