"""`autodecoder`: a coordinate network with a table of latents, one row per particle."""

from pathlib import Path
from typing import Any

from cryosway.jobs import Job
from cryosway.methods._neural.model import open_decoder as open_decoder
from cryosway.methods._neural.neural import fit_neural
from cryosway.methods._options import AutodecoderOptions
from cryosway.methods._shared_choices import ParticlesLike


def autodecoder(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Fit a neural field and the latent of every particle by itself, without an encoder.

    Every image is CTF · projection of a · V(z) + coloured noise. V is a coordinate network in
    Fourier space, added to what `linear` shows. The posterior of every z is a row
    of a table, learnt with the network: no encoder has to find it in the image, which pays where
    signal is weak. The loss is the evidence lower bound of the whitened
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
        The fields of `AutodecoderOptions`.

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
    >>> job = cs.autodecoder("particles.star", "job4", epochs=20)  # doctest: +SKIP
    >>> job.volume(job.latents[0]).shape  # doctest: +SKIP
    (64, 64, 64)
    """
    return fit_neural(
        "autodecoder",
        particles,
        out,
        AutodecoderOptions.check("autodecoder", options),
        resume=resume,
        overwrite=overwrite,
        device=device,
        threads=threads,
    )
