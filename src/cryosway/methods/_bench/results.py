"""Results as they are given: jobs of ours, and folders of other programs."""

from pathlib import Path
from typing import Any, final

import numpy as np

from cryosway._errors import CryoswayError
from cryosway.jobs import Job, open_job
from cryosway.methods._bench.folder_result import FolderResult
from cryosway.methods._bench.result import FloatArray, IntArray, Result, Volume
from cryosway.particles import read_map


def open_result(path: str | Path, count: int) -> Result:
    """Open a job, or a folder of another program.

    Parameters
    ----------
    path
        The folder.
    count
        Number of images of the set.

    Raises
    ------
    CryoswayError
        If the folder holds neither, or its files do not fit the set.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CryoswayError(f"{folder} is no folder; give a job or a folder of results")
    result: Result = JobResult(folder) if (folder / "job.json").exists() else FolderResult(folder)
    if len(result.rows) and (result.rows.min() < 0 or result.rows.max() >= count):
        msg = (
            f"{folder} is of image {result.rows.max()} (from 0), but the set has {count} images; "
            "is it of another set?"
        )
        raise CryoswayError(msg)
    return result


@final
class JobResult(Result):
    """A job folder: maps at the images' own latents."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._job: Job = open_job(folder)
        if self._job.status != "finished":
            msg = f"{folder} is {self._job.status}; let it finish before it is scored"
            raise CryoswayError(msg)
        table = self._job.particles
        self.rows = table["index"].to_numpy(np.int64)
        self.latents = self._job.latents if self._job.latents.shape[1] else None
        self.classes = None

    @property
    def facts(self) -> dict[str, Any]:
        """The command, its time and memory."""
        info = self._job.info
        told = {"program": info.get("program") or f"cryosway {info['command']}"}
        seconds = (info.get("timings") or {}).get("total")
        memory = info.get("peak_memory_bytes")
        return {**told, "wall_seconds": seconds, "peak_memory_bytes": memory}

    @property
    def images(self) -> IntArray | None:
        """All."""
        return None

    def map_key(self, row: int) -> int:
        """Every image has its own map, where there are latents."""
        return 0 if self.latents is None else row

    def map_of(self, row: int) -> Volume:
        """Decode the image's latent."""
        if self.latents is None:
            return self._job.volume()
        return self._job.volume(self.latents[self.places[row]])

    def map_at(self, latent: FloatArray) -> Volume | None:
        """Decode a latent."""
        return self._job.volume(latent)

    def consensus(self) -> Volume | None:
        """Read the mean map."""
        found = [entry for entry in self._job.main.volumes if entry["kind"] == "mean"]
        if not found:
            return None
        return read_map(self._job.main.path / "volumes" / found[0]["file"])[0]
