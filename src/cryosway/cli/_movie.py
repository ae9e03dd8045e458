"""``cryosway movie``."""

from pathlib import Path


def movie(
    sources: Path | list[Path],
    out: Path,
    *,
    direction: int = 1,
    models: bool = False,
    threshold: float | None = None,
    between: int = 6,
    sides: int = 2,
    pixels: int = 360,
    rate: int = 15,
) -> Path:
    """Make a movie that runs to and fro along a path, as mp4, gif or webp; no display is needed.

    Parameters
    ----------
    sources : list of Path
        A job, a folder of cryosway path, maps in their order, or files of atomic models.
    out : Path
        The movie; mp4 needs pip install cryosway[movie].
    direction : int
        Of a job: principal direction whose maps are shown.
    models : bool
        Of a job: show its atomic models instead of its maps.
    threshold : float
        Contour level of the maps; chosen from them by default.
    between : int
        Frames from one map or model to the next.
    sides : int
        1: from the side that shows the change best; 2: also turned by 90 degrees.
    pixels : int
        Height of the picture.
    rate : int
        Frames per second.

    Returns
    -------
    Path
        The movie.
    """
    from cryosway.report import movie as make_movie

    return make_movie(
        sources, out, direction=direction, models=models, threshold=threshold,
        between=between, sides=sides, pixels=pixels, rate=rate,
    )  # fmt: skip
