"""What the commands about the landscape read of a job alike, and where they note decisions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import read_json, write_json
from cryosway.jobs import Job, Verdict

FloatArray = NDArray[np.floating]


def read_latents(job: Job) -> tuple[FloatArray, FloatArray | None]:
    """Give posterior means and standard deviations, shape (N, K), of a job that must have them.

    Raises
    ------
    CryoswayError
        When the job has no latents, or some are not finite.
    """
    latents = job.latents
    if latents.shape[1] == 0 or len(latents) == 0:
        command = job.info.get("command", "unknown")
        message = (
            f"{job.path} holds no latents (it is a {command} job); give a job of a method that "
            "finds them, such as cryosway linear"
        )
        raise CryoswayError(message)
    bad = np.flatnonzero(~np.isfinite(latents).all(axis=1))
    if len(bad):
        message = (
            f"{job.path}: {len(bad)} particles have no finite latent (the first is row {bad[0]} of "
            "particles.parquet); run the method again or drop these particles"
        )
        raise CryoswayError(message)
    return latents, job.latent_sd


def count_real_directions(job: Job, verdict: Verdict, most: int) -> int:
    """Count the directions that stand out from noise by the job's verdict: 1 to `most`."""
    return int(min(np.clip(verdict.real, 1, most), job.latents.shape[1]))


def note_decisions(folder: Path, decisions: Sequence[dict[str, Any]]) -> None:
    """Tell in decisions.json what was chosen, in the place of earlier entries of these names."""
    path = folder / "decisions.json"
    earlier = read_json(path) if path.exists() else []
    kept = [entry for entry in earlier if entry["what"] not in {new["what"] for new in decisions}]
    write_json(path, [*kept, *decisions])
