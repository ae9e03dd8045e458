"""What a job folder holds, gathered for the report."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway.engine import hash_file, read_job_info, read_json, read_table
from cryosway.particles import read_map
from cryosway.report._chimerax_models import ModelFile

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Stage:
    """One job folder: a job by itself, or a step of a ``run``.

    Attributes
    ----------
    name : str
        The step's name.
    path : Path
        Its folder.
    info : dict
        ``job.json``.
    """

    name: str
    path: Path
    info: dict[str, Any]

    @cached_property
    def curves(self) -> dict[str, Any]:
        """``curves.json``: FSC curves, noise spectra, the spectrum of components."""
        return self._read("curves.json", {})

    @cached_property
    def decisions(self) -> list[dict[str, Any]]:
        """``decisions.json``: what was decided, and why."""
        return self._read("decisions.json", [])

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """The checks of ``inspect.json``."""
        return self._read("inspect.json", {}).get("checks", [])

    @cached_property
    def supplement(self) -> dict[str, Any]:
        """``supplement.json``: a section of its own that the step adds to the report."""
        return self._read("supplement.json", {})

    @cached_property
    def landscape(self) -> dict[str, Any]:
        """``landscape.json``: axes, clusters, traversals."""
        return self._read("landscape.json", {})

    @cached_property
    def states(self) -> dict[str, Any]:
        """``states.json``: states, populations, free energies."""
        return self._read("states.json", {})

    @cached_property
    def volume_space(self) -> dict[str, Any]:
        """``volume_space.json``: components and clusters of volumes over the landscape."""
        return self._read("volume_space.json", {})

    @cached_property
    def motions(self) -> dict[str, Any]:
        """``motions.json``: rigid domains and how they move."""
        return self._read("motions.json", {})

    @cached_property
    def models(self) -> list[ModelFile]:
        """The files of atomic models that ``models/models.json`` lists and that are there."""
        entries = self._read("models/models.json", {}).get("models", [])
        files = [ModelFile(self.path / "models" / entry["file"], entry) for entry in entries]
        return [item for item in files if item.path.exists()]

    @cached_property
    def particles(self) -> pd.DataFrame | None:
        """``particles.parquet``, one row per particle."""
        path = self.path / "particles.parquet"
        return read_table(path) if path.exists() else None

    @cached_property
    def volumes(self) -> list["MapFile"]:
        """The maps that ``volumes.json`` lists and that are there."""
        entries = self._read("volumes/volumes.json", {}).get("volumes", [])
        maps = [MapFile(self.path / "volumes" / entry["file"], entry) for entry in entries]
        return [item for item in maps if item.path.exists()]

    @cached_property
    def warnings(self) -> list[str]:
        """Warnings in ``log.txt``, each once."""
        path = self.path / "log.txt"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = [line.split("warning: ", 1)[1] for line in lines if " warning: " in line]
        return list(dict.fromkeys(found))

    def _read(self, name: str, default: Any) -> Any:
        path = self.path / name
        return read_json(path) if path.exists() else default


@dataclass(frozen=True)
class MapFile:
    """A map and what ``volumes.json`` says of it.

    Attributes
    ----------
    path : Path
        The file.
    entry : dict
        Its entry.
    """

    path: Path
    entry: dict[str, Any]

    @cached_property
    def density(self) -> FloatArray:
        """The voxels, axes (z, y, x)."""
        return read_map(self.path)[0]

    @cached_property
    def pixel_size(self) -> float:
        """Å per voxel."""
        return read_map(self.path)[1].pixel_size

    @property
    def kind(self) -> str:
        """What it shows: mean, half, component, cluster, path, state, mask and so on."""
        return str(self.entry.get("kind", ""))

    @property
    def label(self) -> str:
        """What a reader calls it."""
        return str(self.entry.get("label") or self.path.stem)

    @property
    def resolution(self) -> float | None:
        """Resolution, Å, where known."""
        value = self.entry.get("resolution_angstrom")
        return None if value is None else float(value)

    @property
    def particles(self) -> float | None:
        """Particles that support it, where known."""
        value = self.entry.get("n_effective")
        return None if value is None else float(value)

    @property
    def support(self) -> float:
        """Particles at its very place, or else those that made it; infinite where not known."""
        value = self.entry.get("support", self.entry.get("n_effective"))
        return float("inf") if value is None else float(value)


@dataclass(frozen=True)
class Contents:
    """A job folder with its steps.

    Attributes
    ----------
    root : Path
        The folder that gets the report.
    info : dict
        Its ``job.json``.
    main : Stage
        The step with the answer.
    stages : list of Stage
        All steps in order; the job itself where it is not a run.
    """

    root: Path
    info: dict[str, Any]
    main: Stage
    stages: list[Stage] = field(default_factory=list)

    @property
    def folders(self) -> list[Stage]:
        """All folders that decide and warn: the steps, and the job that they are steps of."""
        outer = Stage(str(self.info.get("command", "job")), self.root, self.info)
        own = any(stage.path == self.root for stage in self.stages)
        return self.stages if own else [outer, *self.stages]

    @cached_property
    def audit(self) -> Stage | None:
        """The latest audit of the main step: in a folder of this one, or beside it or that step."""
        root, main = self.root.resolve(), self.main.path.resolve()
        folders = {path.parent for place in (root, root.parent, main.parent)
                   for path in place.glob("*/audit.json")}  # fmt: skip
        weights = main / "model.safetensors"
        if not folders or not weights.exists():
            return None
        audited = {"structural": hash_file(weights)}
        stages = [Stage("audit", folder, read_job_info(folder)) for folder in folders]
        found = [
            stage
            for stage in stages
            if stage.info.get("status") == "finished" and stage.info.get("inputs") == audited
        ]
        return max(found, key=lambda stage: str(stage.info["updated"]), default=None)

    @property
    def particles(self) -> pd.DataFrame | None:
        """The particles of the main step, or of the last step that lists them."""
        for stage in (self.main, *reversed(self.stages)):
            if stage.particles is not None:
                return stage.particles
        return None

    def maps(self, kind: str) -> list[MapFile]:
        """List the main step's maps of a kind; where it has none, the last step's that has."""
        for stage in (self.main, *reversed(self.stages)):
            found = [item for item in stage.volumes if item.kind == kind]
            if found:
                return found
        return []

    def curves(self, name: str) -> Any:
        """Give the main step's curves of a name, else those of the last step that has them."""
        for stage in (self.main, *reversed(self.stages)):
            if stage.curves.get(name):
                return stage.curves[name]
        return None

    @property
    def traversals(self) -> dict[int, list[MapFile]]:
        """Maps along each principal direction, in order."""
        groups: dict[int, list[MapFile]] = {}
        for item in self.maps("path"):
            groups.setdefault(int(item.entry.get("direction", 1)), []).append(item)
        for items in groups.values():
            items.sort(key=lambda item: (item.entry.get("point", 0), item.path.name))
        return dict(sorted(groups.items()))


def gather_contents(folder: str | Path) -> Contents:
    """Read what a report needs; large files are read when first asked for.

    Parameters
    ----------
    folder : str or Path
        A job folder; that of a ``run`` names its steps in ``stages`` and the main one in ``main``.

    Returns
    -------
    Contents

    Raises
    ------
    CryoswayError
        When the folder is not a job.
    """
    root = Path(folder)
    info = read_job_info(root)
    names: dict[str, str] = info.get("stages") or {}
    stages = [
        Stage(name, root / place, read_job_info(root / place))
        for name, place in names.items()
        if (root / place / "job.json").exists()
    ]
    if not stages:
        alone = Stage(str(info.get("command", "job")), root, info)
        return Contents(root, info, alone, [alone])
    main = next((stage for stage in stages if stage.name == info.get("main")), stages[-1])
    return Contents(root, info, main, stages)
