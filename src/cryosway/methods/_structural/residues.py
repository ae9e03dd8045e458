"""How sure a structural job is of every residue and particle: tables, B factors, the report."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from cryosway._errors import CryoswayWarning
from cryosway.engine import JobFolder, read_table, write_json, write_table
from cryosway.methods._held_out import Gain
from cryosway.methods._motions.models import write_directions
from cryosway.methods._motions.motion_analysis import Spread
from cryosway.methods._options import StructuralOptions
from cryosway.methods._structural.bead_ensemble import RESIDUES_NAME
from cryosway.methods._structural.disagreement import HalfSets, compare_halves
from cryosway.methods._structural.halves import Fit, Fitted, fit_halves
from cryosway.methods._structural.model import StructuralModel
from cryosway.report import plot_uncertainty, write_figure

FloatArray = npt.NDArray[np.float64]
_PART = 256  # particles


def check_halves(
    job: JobFolder, options: StructuralOptions, device: torch.device, fit: Fit
) -> None:
    """Fit and compare half-set models of a job whose results are written, and add what they tell.

    Adds columns to particles.parquet, residues.parquet, models along directions with B factors, a
    section to the report; warns where the motion does not explain unseen images.

    Parameters
    ----------
    job
        Of `structural`.
    options
        Of the job.
    device
        Where to compute.
    fit
        Does the work of a structural job in a folder.
    """
    if options.linear is not None:
        job.decide(
            "start of the half-set models", "normal modes",
            "latents of linear stand on components that both half-sets made",
        )  # fmt: skip
    fitted = Fitted.open(job.path)
    halves = fit_halves(fitted, options, device, fit)
    found = compare_halves(job, fitted, halves, device, options.seed)
    write_halves(job, fitted, found)


def write_halves(job: JobFolder, fitted: Fitted, found: HalfSets) -> None:
    """Write what half-set models tell; see `check_halves`."""
    path = job.path / "particles.parquet"
    columns = pd.DataFrame(found.columns())
    table = read_table(path)
    write_table(
        path, pd.concat([table.drop(columns=list(columns), errors="ignore"), columns], axis=1)
    )
    residues = tabulate_residues(fitted.model, fitted.job.latents, found)
    write_table(job.path / RESIDUES_NAME, residues)
    write_directions(job.path)
    said = found.describe()
    job.update(halves=said)
    verdict = judge_motion(said)
    if verdict != "supported":
        warnings.warn(_WARNINGS[verdict], CryoswayWarning, stacklevel=2)
    write_figure(job.path / "figures" / "uncertainty.png", plot_uncertainty(residues))
    write_json(job.path / "supplement.json", _describe(said, residues))


def tabulate_residues(
    model: StructuralModel, latents: FloatArray, halves: HalfSets
) -> pd.DataFrame:
    """Make residues.parquet: a row per bead of the model."""
    coarse = model.coarse
    columns: dict[str, Any] = {
        "chain": coarse.chains,
        "residue_number": coarse.residue_numbers,
        "insertion_code": coarse.insertion_codes,
        "residue_name": coarse.residue_names,
        "displacement": measure_motion(model, latents),
        "disagreement": halves.residue_disagreement,
        "uncertainty": halves.residue_uncertainty,
    }
    return pd.DataFrame(columns)


def measure_motion(model: StructuralModel, latents: FloatArray) -> FloatArray:
    """Rms displacement of every bead from its mean position over the particles, (N,), Å."""
    spread = Spread(len(model.coarse))
    for part in np.array_split(latents, max(1, len(latents) // _PART)):
        spread.add((model.beads(part) - model.deformation.reference).double().numpy())
    return spread.rms()


def judge_motion(said: dict[str, Any]) -> str:
    """Say whether motion explains unseen data: supported, not supported or cannot tell."""
    gain = Gain(said["gain_over_mean"], said["gain_over_mean_error"])
    return gain.judge("supported", "not supported", "cannot tell")


_WARNINGS = {
    "not supported": "the motion that half-set models have learnt describes images that they have "
    "not seen worse than no motion does: it is learnt from noise; use fewer epochs or latent "
    "dimensions, and trust none of it",
    "cannot tell": "the motion that half-set models have learnt describes images that they have "
    "not seen no better than no motion does; the data show none that can be told from noise",
}
_VERDICTS = {
    "supported": "The motion is in the data",
    "not supported": "The motion is not in the data",
    "cannot tell": "Whether there is motion cannot be told",
}


def _describe(said: dict[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    moved = float(np.sqrt(np.mean(np.square(table["displacement"].to_numpy(np.float64)))))
    shared = (
        "What the half-set models share is not in that figure: the reference, the priors, the "
        "poses, and the kind of motion that the decoder can make."
    )
    caption = (
        "How far every residue moves over the particles, how far the two half-set models are "
        "apart, and the error to be expected (also the B factors of the models)."
    )
    return {
        "title": "How sure the motion is",
        "sentences": [_describe_gain(said), _describe_uncertainty(said, moved), shared],
        "figures": [{"file": "figures/uncertainty.png", "caption": caption}],
    }


def _describe_gain(said: dict[str, Any]) -> str:
    return (
        f"{_VERDICTS[judge_motion(said)]}: for {said['images_judged']} images of the half-set "
        "that a model was not trained on, judged on Fourier points from which their latents were "
        f"not inferred, its motion gains {said['gain_over_mean']:+.2f} ± "
        f"{said['gain_over_mean_error']:.2f} nats of log likelihood per image over its mean "
        f"conformation, and {said['gain_over_reference']:+.2f} ± "
        f"{said['gain_over_reference_error']:.2f} over the reference."
    )


def _describe_uncertainty(said: dict[str, Any], moved: float) -> str:
    return (
        f"Residues move by {moved:.2f} Å (rms over particles and residues). Two models, trained "
        "on a half-set each from the same reference, place them "
        f"{said['disagreement_angstrom']:.2f} Å apart; with what noise leaves open in each "
        f"latent, an error of {said['uncertainty_angstrom']:.2f} Å is to be expected of the job's "
        "model."
    )
