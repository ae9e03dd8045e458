"""``cryosway protein compare``: what a comparison found, in lines."""

from pathlib import Path


def compare(
    model: Path,
    reference: Path,
    *,
    out: Path | None = None,
    chains: tuple[str, ...] = (),
    reference_chains: tuple[str, ...] = (),
) -> list[str]:
    """Compare two structure files: RMSD, TM-score and lDDT.

    Each may hold one model, an ensemble or a prediction. Chains are matched and residues aligned
    by their sequences.

    Parameters
    ----------
    model : Path
        What is judged: mmCIF or PDB.
    reference : Path
        What it is judged by.
    out : Path, optional
        Folder for comparison.json, tables of pairs and residues, and a picture.
    chains : tuple of str
        Only these chains of the model; may be repeated.
    reference_chains : tuple of str
        Only these chains of the reference; may be repeated.

    Returns
    -------
    list of str
        Lines to print.
    """
    from cryosway.methods import compare_models
    from cryosway.methods._protein.compare import describe_comparison

    found = compare_models(
        model, reference, out=out, chains=chains, reference_chains=reference_chains
    )
    lines = describe_comparison(found)
    return lines if out is None else [*lines, f"result: {out}"]
