"""`density`: maps from the images at the conformations that a structural job has found."""

from pathlib import Path
from typing import Any

import torch

from cryosway.engine import JobFolder, select_device, set_threads
from cryosway.jobs import Job, StoredMaps, open_job
from cryosway.methods._density.data import DensityData, require_structural
from cryosway.methods._density.deformed import DeformedRun
from cryosway.methods._density.kernel import KernelRun
from cryosway.methods._density.network import NetworkRun
from cryosway.methods._linear.model import LazyDecoder
from cryosway.methods._neural.model import NeuralDecoder
from cryosway.methods._options import DensityOptions
from cryosway.methods._shared_choices import fingerprint_file


def density(
    job: Job | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Make maps from the images, free of the atomic prior, with what a structural job knows.

    ``kernel``: backprojection of the particles around a latent, as `linear` makes maps; the new
    job answers for the density at any latent, with half-maps. ``deformed``: one map of one state
    from all particles, each moved along the model's motion (deformed backprojection); FSC before
    and after. ``network``: a neural field trained on the job's latents (Li et al., Nature Methods
    2024, second stage).

    Parameters
    ----------
    job : Job or path
        Of `structural`.
    out : path
        Job folder.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Where to compute: auto (the first GPU, else the CPU), cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `DensityOptions`.

    Returns
    -------
    Job
        With maps, half-maps and their FSC.

    Raises
    ------
    CryoswayError
        When options or job do not fit.

    Examples
    --------
    >>> import cryosway as cs
    >>> sharp = cs.density("job5", "job6", by="deformed")  # doctest: +SKIP
    >>> first, second = sharp.half_maps()  # doctest: +SKIP
    """
    chosen = DensityOptions.check("density", options)
    structural = require_structural(open_job(job))
    set_threads(threads)
    inputs = {"structural": fingerprint_file(structural.path / "model.safetensors")}
    for name in ("mask", "region"):
        if (given := getattr(chosen, name)) not in ("auto", "none"):
            inputs[name] = fingerprint_file(given)
    place = select_device(device)
    with JobFolder.start(
        out, "density", chosen, inputs, sources={"job": structural.path},
        resume=resume, overwrite=overwrite,
    ) as folder:  # fmt: skip
        if not folder.already_finished:
            _run(folder, DensityData.open(structural), chosen, place)
    return open_job(out)


def _run(job: JobFolder, data: DensityData, options: DensityOptions, device: torch.device) -> None:
    runs: dict[str, Any] = {"kernel": KernelRun, "deformed": DeformedRun, "network": NetworkRun}
    runs[options.by](job, data, options, device).run()


def open_decoder(job: Job) -> Any:
    """Open what a density job decodes latents by; the map itself where there are none."""
    openers: dict[str, Any] = {"kernel": LazyDecoder, "network": NeuralDecoder}
    by = job.info["config"]["by"]
    return openers[by](job) if by in openers else StoredMaps(job.path)
