"""``cryosway volumes``: latents as they are typed."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cryosway._errors import CryoswayError


def volumes(
    job: Path,
    out: Path,
    *,
    latents: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = (),
    particles: tuple[int, ...] = (),
    half_maps: bool = False,
) -> list[Path]:
    """Write the densities of a job at chosen latents, as MRC maps.

    Parameters
    ----------
    job : Path
        Job folder.
    out : Path
        Folder for the maps.
    latents : tuple of str
        Where in latent space, as 0.5,-1.2,0 (one number per dimension); may be repeated.
    particles : tuple of int
        Rows of particles.parquet, from 0, at whose latents densities are wanted; may be repeated.
    half_maps : bool
        Write the half-maps, too.

    Returns
    -------
    list of Path
        The maps.
    """
    from cryosway.jobs import write_volumes

    points = [parse_latent(text) for text in latents]
    return write_volumes(job, out, latents=points, particles=particles, half_maps=half_maps)


def parse_latent(text: str) -> list[float]:
    """Read numbers separated by commas.

    Examples
    --------
    >>> parse_latent("0.5,-1.2")
    [0.5, -1.2]
    """
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a latent: give numbers separated by commas, as 0.5,-1.2"
        raise CryoswayError(message) from None
