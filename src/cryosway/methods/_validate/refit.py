"""The method of a job, fitted again to other particles with the same options."""

import warnings
from pathlib import Path
from typing import Any, final

from cryosway._errors import CryoswayError
from cryosway.engine import Options
from cryosway.jobs import Job, open_job
from cryosway.methods._linear.linear import linear
from cryosway.methods._neural.autodecoder import autodecoder
from cryosway.methods._neural.vae import vae
from cryosway.methods._options import (
    AutodecoderOptions,
    LinearOptions,
    StructuralOptions,
    VaeOptions,
)
from cryosway.methods._structural.model import REFERENCE_NAME
from cryosway.methods._structural.structural import structural
from cryosway.particles import Particles
from cryosway.protein import find_scores

METHODS: dict[str, tuple[Any, type[Options]]] = {
    "linear": (linear, LinearOptions),
    "vae": (vae, VaeOptions),
    "autodecoder": (autodecoder, AutodecoderOptions),
    "structural": (structural, StructuralOptions),
}


@final
class Refit:
    """Fits the method of a job to other particles.

    Parameters
    ----------
    job
        Of one of `METHODS`.
    device, threads
        Where to compute.
    """

    def __init__(self, job: Job, device: str, threads: int | None) -> None:
        self.job, self._device, self._threads = job, device, threads
        command = str(job.info["command"])
        if command not in METHODS:
            message = (
                f"{job.path} is a job of {command}, which cannot be fitted again here: leave null "
                "and halves out of --parts"
            )
            raise CryoswayError(message)
        self._method, self._model = METHODS[command]
        self.command = command

    def fit(self, particles: Particles, out: Path) -> Job:
        """Fit to particles, in a folder that resumes like any job; warnings are in its log only.

        A `linear` job that the method starts from is fitted to the same particles first, beside it.
        """
        options = self._options()
        with warnings.catch_warnings():
            warnings.showwarning = _keep_quiet
            if options.get("linear"):
                start = Refit(open_job(options["linear"]).main, self._device, self._threads)
                options["linear"] = start.fit(particles, out.with_name(f"{out.name}_linear")).path
            found = self._method(
                particles,
                out,
                overwrite=True,
                device=self._device,
                threads=self._threads,
                **options,
            )
        return open_job(found)

    def _options(self) -> dict[str, Any]:
        """Options of the job, less its own checks of itself."""
        known, config = self._model.model_fields, self.job.info["config"]
        options = {name: value for name, value in config.items() if name in known}
        changes: dict[str, Any] = {"time_limit": None}
        if self.command == "linear":
            changes = {"null_tests": 0, "components": max(1, self.job.latents.shape[1])}
        if self.command == "structural":
            changes = {
                "model": self.job.path / REFERENCE_NAME,
                "confidence": _find_confidence(options),
                "halves": False,
                "check_docking": False,
            }
        return options | changes


def _find_confidence(options: dict[str, Any]) -> str | Path:
    """Confidences of a predicted model lie beside its file, from which the reference comes."""
    confidence, model = options.get("confidence", "none"), Path(options["model"])
    if confidence != "auto":
        return Path(confidence) if confidence != "none" else "none"
    return (find_scores(model) if model.exists() else None) or "none"


def _keep_quiet(*_: Any, **__: Any) -> None:
    """Show no warning."""


def find_linear(job: Job) -> Job | None:
    """Find the linear job that a job is, was started from, or has made for itself."""
    if job.info["command"] == "linear":
        return job
    given = job.info["config"].get("linear")
    for path in (Path(given) if given else None, job.path / "linear"):
        if path is not None and (path / "job.json").exists():
            return open_job(path).main
    return None
