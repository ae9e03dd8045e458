"""``cryosway path``: places as they are typed."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def path(
    job: Path,
    out: Path,
    *,
    start: Annotated[
        str | None, Parameter(name=("--from", "--start"), allow_leading_hyphen=True)
    ] = None,
    end: Annotated[str | None, Parameter(name=("--to", "--end"), allow_leading_hyphen=True)] = None,
    through: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = (),
    by: Literal["straight", "graph", "energy", "pc", "points"] = "straight",
    points: int = 10,
    direction: int = 1,
    maps: bool = True,
) -> Path:
    """Write maps along a way through the landscape; interrupted, the same command goes on.

    Parameters
    ----------
    job : Path
        Job folder.
    out : Path
        Folder for path.txt (a latent per line), path.json and volumes.
    start : str
        Where to begin: state:2, cluster:3, particle:17 (a row, from 0), or a latent as 0.5,-1.2.
    end : str
        Where to end.
    through : tuple of str
        Places to pass on the way; may be repeated.
    by : str
        straight; graph: from particle to particle; energy: over the lowest passes of the free
        energy in the first two principal directions; pc: along a principal direction, from the
        5th to the 95th percentile; points: only the places given.
    points : int
        Maps along the path.
    direction : int
        Principal direction, with --by pc.
    maps : bool
        Write the maps, not only where they are.

    Returns
    -------
    Path
        The folder.
    """
    from cryosway.methods import write_path

    return write_path(
        job, out, start=start, end=end, through=through,
        by=by, points=points, direction=direction, maps=maps,
    )  # fmt: skip
