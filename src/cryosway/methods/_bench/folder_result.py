"""A folder that any program's results can be put into; docs/bench.md is its specification."""

from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._bench.result import FloatArray, IntArray, Result, Volume
from cryosway.methods._bench.row_files import find_rows, read_rows
from cryosway.methods._bench.truth_set import number_key
from cryosway.particles import read_map

_LAYOUT = "docs/bench.md says what such a folder holds"


@final
class FolderResult(Result):
    """A folder in the layout of docs/bench.md."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        latents, classes = (
            find_rows(folder, names) for names in (("latents", "z"), ("classes", "labels"))
        )
        self.latents = None if latents is None else _as_table(read_rows(latents))
        self.classes = None if classes is None else np.ravel(read_rows(classes)).astype(np.int64)
        self._paths = sorted((folder / "volumes").glob("*.mrc"), key=number_key)
        self.rows = self._read_particle_rows()
        self._kind = self._find_kind()
        if self.latents is None and self.classes is None and not self._paths:
            msg = f"{folder} holds neither latents, nor classes, nor volumes/*.mrc; {_LAYOUT}"
            raise CryoswayError(msg)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What result.json tells."""
        path = self.path / "result.json"
        return dict(read_json(path)) if path.exists() else {}

    def _read_particle_rows(self) -> IntArray:
        counts = {
            name: len(rows)
            for name, rows in (("latents", self.latents), ("classes", self.classes))
            if rows is not None
        }
        given = find_rows(self.path, ("rows", "ind"))
        if given is not None:
            counts["rows"] = len(read_rows(given))
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{count} {name}" for name, count in counts.items())
            msg = f"{self.path} has {said}; there must be as many of each"
            raise CryoswayError(msg)
        if given is not None:
            return np.ravel(read_rows(given)).astype(np.int64)
        return np.arange(next(iter(counts.values()), 0))

    def _find_kind(self) -> str:
        """Find what the volumes are of: images, latents, classes, or CryoBench's scored images."""
        if not self._paths:
            return "none"
        for kind, names in (("images", ("images",)), ("latents", ("latents", "z", "z_values"))):
            listed = find_rows(self.path / "volumes", names)
            if listed is not None:
                self._listed = read_rows(listed)
                self._require_as_many(listed)
                return kind
        if self.classes is not None:
            self._class_maps = {_last_number(path): path for path in self._paths}
            missing = sorted(set(self.classes.tolist()) - self._class_maps.keys())
            if missing:
                msg = (
                    f"{self.path} has no map of class {missing[0]}; the last number in the name "
                    "of a volume is its class, as volumes/class_003.mrc"
                )
                raise CryoswayError(msg)
            return "classes"
        return "scored"

    def _require_as_many(self, listed: Path) -> None:
        if len(self._listed) != len(self._paths):
            msg = (
                f"{listed} has {len(self._listed)} rows for {len(self._paths)} volumes; give one "
                "for each, in the order of the numbers in the names"
            )
            raise CryoswayError(msg)
        if listed.stem != "images" and self.latents is None:
            msg = f"{listed} has latents of volumes, but {self.path} none of images; add latents"
            raise CryoswayError(msg)

    def take_scored(self, rows: IntArray) -> None:
        """Take volumes without a list as those of the scored images, as CryoBench writes them."""
        if self._kind != "scored":
            return
        if len(self._paths) not in (len(rows), len(rows) + 1):
            msg = (
                f"{self.path} has {len(self._paths)} volumes and does not say of which images; "
                f"give volumes/images.txt, or the {len(rows)} that are scored, in order"
            )
            raise CryoswayError(msg)
        self._paths = self._paths[: len(rows)]
        self._listed, self._kind = np.asarray(rows), "images"

    @property
    def images(self) -> IntArray | None:
        """The images whose maps are given."""
        if self._kind == "images":
            return np.ravel(self._listed).astype(np.int64)
        return np.empty(0, np.int64) if self._kind == "none" else None

    @cached_property
    def _image_places(self) -> dict[int, int]:
        assert self.images is not None
        return {int(row): place for place, row in enumerate(self.images)}

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(_as_table(self._listed))

    def map_key(self, row: int) -> int:
        """Give the number of the image's volume."""
        if self._kind == "images":
            return self._image_places[row]
        if self._kind == "classes":
            assert self.classes is not None
            return int(self.classes[self.places[row]])
        assert self.latents is not None
        return int(self._tree.query(self.latents[self.places[row]])[1])

    def map_of(self, row: int) -> Volume:
        """Read the image's own map, that of its class, or the one nearest to its latent."""
        return self._read(self.map_key(row))

    def map_at(self, latent: FloatArray) -> Volume | None:
        """Give the nearest map, where maps have latents."""
        return self._read(int(self._tree.query(latent)[1])) if self._kind == "latents" else None

    def _read(self, key: int) -> Volume:
        path = self._class_maps[key] if self._kind == "classes" else self._paths[key]
        return read_map(path)[0]

    def consensus(self) -> Volume | None:
        """Read consensus.mrc."""
        path = self.path / "consensus.mrc"
        return read_map(path)[0] if path.exists() else None


def _as_table(rows: NDArray[Any]) -> FloatArray:
    return np.asarray(rows, np.float64).reshape(len(rows), -1)


def _last_number(path: Path) -> int:
    numbers = [part for part in number_key(Path(path.stem)) if isinstance(part, int)]
    if not numbers:
        msg = f"{path} has no number in its name that says of which class it is; rename it"
        raise CryoswayError(msg)
    return numbers[-1]
