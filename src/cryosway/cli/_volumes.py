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
    latents_file: Path | None = None,
    particles: tuple[int, ...] = (),
    half_maps: bool = False,
    box: int | None = None,
    low_pass: float | None = None,
    crop: int | None = None,
    flip_hand: bool = False,
    invert: bool = False,
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
    latents_file : Path, optional
        Text file with one latent per line, numbers separated by blanks or commas.
    particles : tuple of int
        Rows of particles.parquet, from 0, at whose latents densities are wanted; may be repeated.
    half_maps : bool
        Write the half-maps, too.
    box : int, optional
        Voxels a side to sample the maps with; fewer than they have drop fine shells.
    low_pass : float, optional
        Resolution of a Gaussian low-pass filter, Å.
    crop : int, optional
        Voxels a side to keep about the centre.
    flip_hand : bool
        Mirror the maps: the other hand.
    invert : bool
        Change the sign of the density.

    Returns
    -------
    list of Path
        The maps.
    """
    from cryosway.jobs import MapFinish, write_volumes

    points = [parse_latent(text) for text in latents]
    points += read_latents(latents_file) if latents_file else []
    finish = MapFinish(box, low_pass, crop, flip_hand, invert)
    return write_volumes(
        job, out, latents=points, particles=particles, half_maps=half_maps, finish=finish
    )


def read_latents(path: Path) -> list[list[float]]:
    """Read a text file with one latent per line; lines that begin with # are left out."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as text: {error}"
        raise CryoswayError(message) from None
    points = []
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            points.append([float(word) for word in words])
        except ValueError:
            message = f"{path} line {number}: {line.strip()!r} is not a latent: give numbers"
            raise CryoswayError(message) from None
    if not points:
        message = f"{path} holds no latents: give one per line"
        raise CryoswayError(message)
    return points


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
