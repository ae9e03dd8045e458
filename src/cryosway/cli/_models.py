"""``cryosway models``: latents as they are typed."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cryosway.cli._volumes import parse_latent, read_latents


def models(
    job: Path,
    out: Path,
    *,
    latents: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = (),
    latents_file: Path | None = None,
    particles: tuple[int, ...] = (),
    cluster_centres: bool = False,
    states: bool = False,
    directions: tuple[int, ...] = (),
    path: bool = False,
    points: int = 9,
    files: Literal["ensembles", "single"] = "ensembles",
) -> list[Path]:
    """Write atomic models of a structural job at chosen latents, as mmCIF.

    All atoms are rebuilt on the moved residues; models lie on the job's maps. Where the job has
    measured the uncertainty u of its residues, B factors are 8π²/3 u². Where chains are missing in
    some particles, occupancies say in how many of those near the latent they are there.

    Parameters
    ----------
    job : Path
        Job folder of cryosway structural.
    out : Path
        Folder for the models and models.json, which says what each is.
    latents : tuple of str
        Where in latent space, as 0.5,-1.2,0 (one number per dimension); may be repeated.
    latents_file : Path, optional
        Text file with one latent per line, numbers separated by blanks or commas.
    particles : tuple of int
        Rows of particles.parquet, from 0, whose models are wanted; may be repeated.
    cluster_centres : bool
        Models at the cluster centres of cryosway landscape.
    states : bool
        Models at the states of cryosway states.
    directions : tuple of int
        Principal directions, from 1, along which models are wanted; may be repeated.
    path : bool
        Join the latents and particles given, in this order, by a path of straight pieces.
    points : int
        Models along each direction, and along the path.
    files : str
        ensembles: one file with models 1, 2, … for each direction, for the path, for all
        clusters, states, latents and particles; single: a file for each model.

    Returns
    -------
    list of Path
        The files.
    """
    from cryosway.methods import write_models

    typed = [parse_latent(text) for text in latents]
    typed += read_latents(latents_file) if latents_file else []
    return write_models(
        job, out,
        latents=typed,
        particles=particles,
        cluster_centres=cluster_centres,
        states=states,
        directions=directions,
        path=path,
        points=points,
        files=files,
    )  # fmt: skip
