"""Comparison with the truth of a simulation, by the scorer of the benchmark."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_table
from cryosway.jobs import Job
from cryosway.methods._bench import bench_score
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._validate.options import ValidateOptions
from cryosway.methods._validate.parts import Finding, Picture
from cryosway.methods._validate.subject import Subject
from cryosway.protein import CoarseModel, coarse_grain, find_superposition, read_structure
from cryosway.report import plot_map_scores

FloatArray = npt.NDArray[np.float64]

_IMAGES = 24  # whose maps are made
_MODELS = 300  # particles whose models are compared
TRUTH_NAME = "truth"


def check_truth(
    job: JobFolder, subject: Subject, options: ValidateOptions, threads: int | None = None
) -> Finding:
    """Compare maps, latents, classes, populations and models with the true ones.

    Parameters
    ----------
    job
        Of `validate`; the scores are in its folder ``truth``.
    subject
        The job that is validated.
    options
        ``truth``, ``truth_models``, ``scored`` and ``seed``.
    threads
        All by default.
    """
    assert options.truth is not None
    folder = find_truth(options.truth)
    scored = bench_score(
        folder, subject.job.path, job.path / TRUTH_NAME,
        scored=_IMAGES, seed=options.seed, threads=threads, overwrite=True,
    )  # fmt: skip
    score: dict[str, Any] = dict(scored.info["score"])
    if options.truth_models is not None:
        score["models"] = compare_models(subject, folder, options.truth_models, options.seed)
    gain = score["over_consensus"]
    better = gain["difference"] > 2 * gain["standard_error"]
    return Finding(
        "maps better than the consensus" if better else "maps no better than the consensus",
        say_truth(score),
        {"score": score},
        pictures=[_draw(scored, score)],
    )


def find_truth(given: Path) -> Path:
    """Give the folder of a set that ``truth.parquet`` is in, or that is named itself."""
    folder = given if given.is_dir() else given.parent
    if not (folder / "truth.parquet").exists() and not (folder / "combined_poses.pkl").exists():
        message = f"{given} is no truth: give the truth.parquet of a simulation, or its folder"
        raise CryoswayError(message)
    return folder


def say_truth(score: dict[str, Any]) -> list[str]:
    """Say the scores in sentences."""
    images, consensus, gain = score["images"], score["consensus"], score["over_consensus"]
    of_maps = (
        f"Truth: maps at the latents of {score['scored']} particles agree with their true maps to "
        f"an area under the FSC of {images['masked']:.3f} ± {images['masked_sd']:.3f} within the "
        f"mask (at most {score['limit']:.3f}); the consensus to {consensus['masked']:.3f}, a "
        f"difference of {gain['difference']:.3f} ± {gain['standard_error']:.3f}."
    )
    said = [of_maps]
    if latents := score.get("latents"):
        state, pose, ctf = (latents[name][0] for name in ("state", "pose", "ctf"))
        said.append(
            f"Truth: {latents['neighbourhood_similarity']:.1f} % of neighbours in the latents are "
            f"neighbours in the truth (chance {latents['chance']:.1f} %); the information "
            f"imbalance from latents is {state:.2f} to the state, {pose:.2f} to the pose and "
            f"{ctf:.2f} to the CTF (0: known, 1: not)."
        )
    if clusters := score.get("clusters"):
        said.append(f"Truth: clusters agree with true states by an ARI of {clusters['ari']:.2f}.")
    if found := score.get("populations"):
        said.append(
            f"Truth: {100 * found['total_variation']:.0f} % of the particles are in another state "
            "than the true populations would have them."
        )
    if models := score.get("models"):
        said.append(
            f"Truth: models are {models['rmsd_angstrom']:.2f} Å from the true ones (Cα RMSD, mean "
            f"over {models['particles']} particles, as posed; superposed "
            f"{models['superposed_angstrom']:.2f} Å); the reference is "
            f"{models['reference_angstrom']:.2f} Å from them."
        )
    return said


def _draw(scored: Job, score: dict[str, Any]) -> Picture:
    table = read_table(scored.path / "images.parquet")
    caption = (
        "Area under the FSC of the map at every scored particle's latent with the true map of its "
        "state, and that of the consensus."
    )
    drawn = plot_map_scores(
        table["state"].to_numpy(),
        table[["masked", "unmasked"]].to_numpy(),
        table[["consensus_masked", "consensus_unmasked"]].to_numpy(),
        float(score["limit"]),
    )
    return Picture("truth", drawn, caption)


def compare_models(
    subject: Subject, folder: Path, models: Path, seed: int
) -> dict[str, float | int]:
    """Compare the models of particles with those of their true states.

    Parameters
    ----------
    subject
        Of `structural`.
    folder
        Of the truth.
    models
        Folder of a model per state, as ``state_0.cif``, in the frame of the true maps.
    seed
        Of the choice of particles.

    Raises
    ------
    CryoswayError
        When the job has no models, or the folder not one for each state.
    """
    if subject.command != "structural":
        message = f"{subject.job.path} is a job of {subject.command}, which makes no models"
        raise CryoswayError(message)
    truth = read_table(folder / "truth.parquet")["state"].to_numpy(np.int64)
    rows = subject.job.particles["index"].to_numpy(np.int64)
    states = truth[rows]
    paths = sorted([*models.glob("*.cif"), *models.glob("*.pdb")])
    if len(paths) <= states.max():
        message = (
            f"{models} holds {len(paths)} models, but there are {states.max() + 1} true states"
        )
        raise CryoswayError(message)
    model = StructuralModel.load(subject.job.path)
    mine, true = _match([coarse_grain(read_structure(path)) for path in paths], model.coarse)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(states))[:_MODELS])
    found = model.beads(subject.job.latents[chosen]).double().numpy()[:, mine]
    wanted = true[states[chosen]]
    reference = model.deformation.reference.double().numpy()[mine]
    superposed = [find_superposition(a, b).rmsd for a, b in zip(found, wanted, strict=True)]
    return {
        "rmsd_angstrom": _rmsd(found, wanted),
        "superposed_angstrom": float(np.mean(superposed)),
        "reference_angstrom": _rmsd(reference[None], wanted),
        "particles": len(chosen),
        "residues": len(mine),
    }


def _rmsd(a: FloatArray, b: FloatArray) -> float:
    """Mean over particles of the RMSD of (n, N, 3) and (n, N, 3), Å."""
    return float(np.sqrt(np.square(a - b).sum(-1).mean(-1)).mean())


def _match(
    states: list[CoarseModel], coarse: CoarseModel
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Find beads of the model that all true states have, and where these have them, (S, n, 3)."""

    def name(model: CoarseModel) -> dict[tuple[str, int, str], int]:
        columns = model.chains, model.residue_numbers, model.insertion_codes
        keys = zip(*(column.tolist() for column in columns), strict=True)
        return {(str(c), int(n), str(i)): row for row, (c, n, i) in enumerate(keys)}

    own, theirs = name(coarse), [name(state) for state in states]
    shared = [key for key in own if all(key in state for state in theirs)]
    if not shared:
        message = (
            "the true models have no residue in common with the job's: chains named otherwise?"
        )
        raise CryoswayError(message)
    places = np.stack(
        [
            state.coordinates[[names[key] for key in shared]]
            for state, names in zip(states, theirs, strict=True)
        ]
    )
    return np.array([own[key] for key in shared], np.int64), np.asarray(places, np.float64)
