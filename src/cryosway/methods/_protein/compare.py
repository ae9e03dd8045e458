"""`protein compare`: how alike two models, ensembles or predictions are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway.engine import explain_os_errors, write_json, write_table
from cryosway.protein import AtomTable, Comparison, compare_structures, read_ensemble
from cryosway.report import plot_difference_matrix, plot_residue_differences, write_figure

FloatArray = NDArray[np.float64]


def compare_models(
    model: str | Path,
    reference: str | Path,
    *,
    out: str | Path | None = None,
    chains: Sequence[str] = (),
    reference_chains: Sequence[str] = (),
) -> Comparison:
    """Compare structure files: models, ensembles (every model of a file), predictions.

    Chains are matched and residues aligned by their sequences, so that names and numbers may
    differ. RMSD is of Cα after superposition; the TM-score goes by the reference's length; lDDT
    needs no superposition and takes its distances from the reference.

    Parameters
    ----------
    model, reference : path
        mmCIF or PDB, also gzipped.
    out : path, optional
        Folder for ``comparison.json`` and ``comparison.parquet`` (a row per pair of models),
        ``residues.parquet`` (a row per residue) and ``comparison.png``.
    chains, reference_chains : sequence of str
        Only these chains of the model, or of the reference.

    Returns
    -------
    Comparison
        Arrays of shape (models, references).

    Raises
    ------
    CryoswayError
        When a file cannot be read, or no chain of one has the sequence of one of the other.

    Examples
    --------
    >>> import cryosway as cs
    >>> found = cs.compare_models("prediction.cif", "1ake.cif")  # doctest: +SKIP
    >>> found.rmsd[0, 0], found.lddt[0, 0]  # doctest: +SKIP
    (1.31, 0.88)
    """
    models = read_ensemble(model, chains=chains or None)
    references = read_ensemble(reference, chains=reference_chains or None)
    found = compare_structures(models, references)
    if out is not None:
        with explain_os_errors(Path(out)):
            _write(found, models[0], references[0], Path(out))
    return found


def describe_comparison(found: Comparison) -> list[str]:
    """Say in lines what a comparison found."""
    match = found.match
    paired = ", ".join(f"{a}–{b}" for a, b in match.chains[:12])
    paired += f" and {len(match.chains) - 12} more" if len(match.chains) > 12 else ""
    matched = (
        f"{len(match)} residues of {match.lengths[0]} and {match.lengths[1]} matched "
        f"({match.identity:.0%} identical), chains {paired}"
    )
    lines = [matched]
    if found.rmsd.size == 1:
        return [
            *lines,
            f"RMSD {found.rmsd.item():.2f} Å (Cα, superposed)",
            f"TM-score {found.tm.item():.3f}",
            f"lDDT {found.lddt.item():.3f} (all atoms), {found.lddt_ca.item():.3f} (Cα)",
        ]
    count, others = found.rmsd.shape
    rows = np.arange(count)
    lines.append(f"{count} models, {others} references; each model against the nearest one:")
    for name, values, unit in (
        ("RMSD", found.rmsd, " Å"), ("TM-score", found.tm, ""), ("lDDT", found.lddt, ""),
    ):  # fmt: skip
        near = values[rows, found.nearest]
        lines.append(
            f"{name} median {np.median(near):.3g}{unit}, from {near.min():.3g} to {near.max():.3g}"
        )
    if others > 1:
        reached = found.rmsd.min(axis=0)
        lines.append(
            f"references against the nearest model: RMSD median {np.median(reached):.3g} Å, "
            f"from {reached.min():.3g} to {reached.max():.3g}"
        )
    return lines


def _write(found: Comparison, model: AtomTable, reference: AtomTable, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    match = found.match
    rows, columns = np.indices(found.rmsd.shape)
    scores = {name: getattr(found, name) for name in ("rmsd", "tm", "lddt_ca", "lddt")}
    pairs = {"model": rows.ravel() + 1, "reference": columns.ravel() + 1}
    table = pd.DataFrame({**pairs, **{name: values.ravel() for name, values in scores.items()}})
    write_table(out / "comparison.parquet", table)
    write_table(out / "residues.parquet", _list_residues(found, model, reference))
    summary = {
        "residues": len(match),
        "identity": match.identity,
        "lengths": match.lengths,
        "chains": match.chains,
        "models": found.rmsd.shape[0],
        "references": found.rmsd.shape[1],
        "nearest_reference": (found.nearest + 1).tolist(),
        "of_nearest": {
            name: values[np.arange(len(values)), found.nearest].tolist()
            for name, values in scores.items()
        },
    }
    write_json(out / "comparison.json", summary)
    if found.rmsd.size == 1:
        chains = model.chains[match.anchors[:, 0]]
        picture = plot_residue_differences(
            chains, found.residue_distance[0, 0], found.residue_lddt[0, 0]
        )
    else:
        picture = plot_difference_matrix(found.rmsd)
    write_figure(out / "comparison.png", picture)


def _list_residues(found: Comparison, model: AtomTable, reference: AtomTable) -> pd.DataFrame:
    """Names of the matched residues, and means over models of what the nearest reference says."""
    rows = np.arange(len(found.rmsd))
    columns: dict[str, object] = {}
    for prefix, table, side in (("", model, 0), ("reference_", reference, 1)):
        at = found.match.anchors[:, side]
        columns |= {
            f"{prefix}chain": table.chains[at],
            f"{prefix}residue_number": table.residue_numbers[at],
            f"{prefix}residue_name": table.residue_names[at],
        }
    columns["distance"] = found.residue_distance[rows, found.nearest].mean(axis=0)
    columns["lddt"] = found.residue_lddt[rows, found.nearest].mean(axis=0)
    return pd.DataFrame(columns)
