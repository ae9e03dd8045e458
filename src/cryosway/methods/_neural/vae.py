"""`vae`: a coordinate network whose latents an encoder reads from the images."""

from pathlib import Path
from typing import Any

from cryosway.jobs import Job
from cryosway.methods._neural.model import open_decoder as open_decoder
from cryosway.methods._neural.neural import fit_neural
from cryosway.methods._options import VaeOptions
from cryosway.methods._shared_choices import ParticlesLike


def vae(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Fit a neural field with an encoder: a variational autoencoder of the images.

    Every image is CTF · projection of a · V(z) + coloured noise. V is a coordinate network in
    Fourier space, added to what `linear` shows; an encoder gives the posterior of
    z (Zhong et al., Nature Methods 2021). The loss is the evidence lower bound of the whitened
    images, in nats: with ``beta`` 1 it is the true one.

    Parameters
    ----------
    particles : Particles or path
        With poses and CTF.
    out : path
        Job folder.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Where to compute: auto (the first GPU, else the CPU), cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `VaeOptions`.

    Returns
    -------
    Job
        With latents and volumes at any latent; half-maps and FSC of the particles around one.

    Raises
    ------
    CryoswayError
        When options, particles, mask or the linear job do not fit.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.vae("particles.star", "job3", epochs=20)  # doctest: +SKIP
    >>> job.volume(job.latents[0]).shape  # doctest: +SKIP
    (64, 64, 64)
    """
    return fit_neural(
        "vae",
        particles,
        out,
        VaeOptions.check("vae", options),
        resume=resume,
        overwrite=overwrite,
        device=device,
        threads=threads,
    )
