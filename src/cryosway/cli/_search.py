"""``cryosway protein search``: what was found, in lines."""

from pathlib import Path


def search(
    atlas: Path,
    *,
    sequence: str | None = None,
    structure: Path | None = None,
    min_identity: float = 0.3,
    min_plddt: float = 0.0,
    min_ptm: float = 0.0,
    longest: int | None = None,
    most: int = 20,
    out: Path | None = None,
) -> list[str]:
    """Find predictions in an atlas, by confidence, sequence or structure.

    Parameters
    ----------
    atlas : Path
        Folder that cryosway protein atlas has made.
    sequence : str, optional
        Letters, or a FASTA file: predictions with this sequence, or like it.
    structure : Path, optional
        mmCIF or PDB: predictions of a like shape, by Foldseek where it is installed.
    min_identity : float
        Least identity of the sequences, from 0 to 1.
    min_plddt : float
        Least mean pLDDT, 0 to 100.
    min_ptm : float
        Least pTM, 0 to 1.
    longest : int, optional
        Residues at most.
    most : int
        Results at most, the best first.
    out : Path, optional
        Folder to which the models found are written, with found.parquet.

    Returns
    -------
    list of str
        Lines to print.
    """
    from cryosway.methods import search_atlas

    found = search_atlas(
        atlas, sequence=sequence, structure=structure, min_identity=min_identity,
        min_plddt=min_plddt, min_ptm=min_ptm, longest=longest, most=most, out=out,
    )  # fmt: skip
    if found.empty:
        return ["nothing found"]
    shown = ["key", "length", "plddt", "ptm"]
    shown += [name for name in ("query", "identity", "tm") if name in found]
    lines = found[shown].to_string(index=False, float_format="{:.3g}".format).splitlines()
    return lines if out is None else [*lines, f"result: {out}"]
