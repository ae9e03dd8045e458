"""Landscapes of the linear model and of the network, side by side, for the report."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryosway.engine import write_atomically
from cryosway.jobs import Job
from cryosway.particles import read_map
from cryosway.report import (
    choose_threshold,
    choose_view,
    draw_morph_strip,
    figure_png,
    plot_embedding,
    plot_latent_density,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Volume = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
_SHOWN = 5  # maps of a direction, evenly chosen: the report shows small strips

_WHICH = "Linear model above, network below. "
_PLANES = (
    _WHICH + "Every particle in the plane of the first two principal directions of its latent. "
    "One unit is the typical uncertainty of one particle."
)
_UMAPS = _WHICH + "UMAP embedding of all latents."
_DIRECTIONS = (
    _WHICH + "Maps along the first principal direction, from its 5th to its 95th percentile of "
    "the particles."
)


def show_landscapes(folder: Path, linear: Job, network: Job) -> dict[str, list[Any]]:
    """Draw both landscapes, for supplement.json; nothing where `landscape` has not been run.

    Parameters
    ----------
    folder
        Of the comparison; pictures go to ``figures/``.
    linear, network
        Jobs on the same particles, with landscapes.

    Returns
    -------
    dict
        ``sentences`` and ``figures``.
    """
    tables = linear.particles, network.particles
    if not all("pc1" in table for table in tables):
        return {"sentences": [], "figures": []}
    shared = measure_shared(linear.latents, network.latents)
    sentence = (
        f"Of the variance of the network's latents, {100 * shared:.0f} % follows linearly from "
        "those of the linear model."
    )
    figures = []
    for name, caption, drawn in _draw(linear, network):
        (folder / "figures").mkdir(exist_ok=True)
        with write_atomically(folder / "figures" / f"{name}.png") as temporary:
            temporary.write_bytes(_stack([figure_png(figure) for figure in drawn]))
        figures.append({"file": f"figures/{name}.png", "caption": caption})
    return {"sentences": [sentence], "figures": figures}


def measure_shared(known: FloatArray, latents: FloatArray) -> float:
    """Share of the variance of latents (N, k) that is linear in others (N, j), from 0 to 1."""
    design = np.column_stack([np.ones(len(known)), known])
    rest = latents - design @ np.linalg.lstsq(design, latents, rcond=None)[0]
    total = latents - latents.mean(0)
    return float(1 - np.square(rest).sum() / max(np.square(total).sum(), 1e-30))


def _draw(linear: Job, network: Job) -> Iterator[tuple[str, str, "list[Figure]"]]:
    """Give name, caption and pictures of each figure: the linear model's, then the network's."""
    tables = linear.particles, network.particles
    yield "landscapes", _PLANES, _plot_each(plot_latent_density, tables)
    if all("umap1" in table for table in tables):
        yield "umaps", _UMAPS, _plot_each(plot_embedding, tables)
    paths = [_read_path(job) for job in (linear, network)]
    if all(paths):
        if np.corrcoef(tables[0]["pc1"], tables[1]["pc1"])[0, 1] < 0:
            paths[1] = paths[1][::-1]
        yield "directions", _DIRECTIONS, list(_draw_strips(paths, linear.pixel_size))


def _plot_each(
    plot: "Callable[[pd.DataFrame], Figure]", tables: "Sequence[pd.DataFrame]"
) -> "list[Figure]":
    return [plot(table) for table in tables]


def _read_path(job: Job) -> list[Volume]:
    """Read some maps along the first direction, in order."""
    entries = [e for e in job.volumes if e["kind"] == "path" and e.get("direction") == 1]
    entries.sort(key=lambda entry: int(entry["point"]))
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(_SHOWN, len(entries))).astype(int))
    return [read_map(job.main.path / "volumes" / entries[at]["file"])[0] for at in chosen]


def _draw_strips(paths: Sequence[list[Volume]], pixel_size: float) -> "Iterator[Figure]":
    """Draw both strips from the view that shows the linear model's change best."""
    mean = np.mean(paths[0], axis=0)
    view = choose_view(mean, choose_threshold(mean), paths[0][-1] - paths[0][0])
    for path in paths:
        labels = [str(number) for number in range(1, len(path) + 1)]
        yield draw_morph_strip(path, pixel_size, labels, view=view)


def _stack(pictures: Sequence[bytes]) -> bytes:
    """Put PNG pictures below each other."""
    from PIL import Image

    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    size = max(image.width for image in images), sum(image.height for image in images)
    page = Image.new("RGB", size, "white")
    top = 0
    for image in images:
        page.paste(image, ((size[0] - image.width) // 2, top))
        top += image.height
    stream = io.BytesIO()
    page.save(stream, "PNG")
    return stream.getvalue()
