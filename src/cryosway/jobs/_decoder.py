"""From a latent to a density: which method decodes which job, found when asked."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.particles import read_map

if TYPE_CHECKING:
    from cryosway.jobs._job import Job

Volume = npt.NDArray[np.float32]
Latent = npt.NDArray[np.float64]

# command → what opens its decoder, called with the Job. A new method is one line here.
DECODERS = {
    "autodecoder": "cryosway.methods._neural.autodecoder:open_decoder",
    "import-cryodrgn": "cryosway.methods._cryodrgn.model:open_decoder",
    "density": "cryosway.methods._density.density:open_decoder",
    "encode": "cryosway.methods._neural.encode:open_decoder",
    "linear": "cryosway.methods._linear.linear:open_decoder",
    "motions": "cryosway.methods._motions.motions:open_decoder",
    "structural": "cryosway.methods._structural.structural:open_decoder",
    "vae": "cryosway.methods._neural.vae:open_decoder",
}


@final
class MissingResultError(CryoswayError, NotImplementedError):
    """A job was asked for something that its method does not make."""


class Decoder(Protocol):
    """What opens a job's model: densities at latents, and what else the method has.

    ``half_maps``, ``fsc`` and ``model`` are optional; a decoder without one of them makes the
    `Job` say so.
    """

    def volume(self, z: Latent | None) -> Volume:
        """Give the density at latent z, shape (D, D, D), axes (z, y, x)."""
        ...


def open_decoder(job: "Job") -> Any:
    """Open the decoder of a job: its method's, or its stored map where it has no latents."""
    command = str(job.info.get("command"))
    if command in DECODERS:
        module, name = DECODERS[command].split(":")
        return getattr(importlib.import_module(module), name)(job)
    return StoredMaps(job.path)


def require_latent(z: Latent | None) -> Latent:
    """Give the latent, which `Job` makes sure of for methods with latents."""
    if z is None:
        msg = "this job decodes latents"
        raise ValueError(msg)
    return z


@final
class StoredMaps:
    """The consensus map of a job without latents, from its files.

    Parameters
    ----------
    folder : Path
        The job folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = folder / "volumes" / "volumes.json"
        entries = read_json(index)["volumes"] if index.exists() else []
        means = [entry for entry in entries if entry["kind"] == "mean"]
        if not means:
            message = f"{folder} holds no volumes; see its log.txt for how far it came"
            raise MissingResultError(message)
        self._entry: dict[str, Any] = means[0]

    def volume(self, z: Latent | None) -> Volume:
        """Give the consensus map."""
        return read_map(self._folder / "volumes" / self._entry["file"])[0]

    def half_maps(self, z: Latent | None) -> tuple[Volume, Volume]:
        """Give the consensus half-maps."""
        names = self._entry.get("half_maps")
        if not names:
            message = f"{self._folder} holds no half-maps of {self._entry['file']}"
            raise MissingResultError(message)
        first, second = (read_map(self._folder / "volumes" / name)[0] for name in names)
        return first, second

    def fsc(self, z: Latent | None) -> npt.NDArray[np.float64]:
        """Give the FSC of the half-maps per shell: the masked and corrected one if it is there."""
        path = self._folder / "curves.json"
        curves = read_json(path).get("fsc", []) if path.exists() else []
        ours = [curve for curve in curves if curve["volume"] == self._entry["file"]]
        ours.sort(key=lambda curve: "corrected" not in curve["label"])
        if not ours:
            message = f"{self._folder} holds no FSC curve of {self._entry['file']}"
            raise MissingResultError(message)
        return np.array(ours[0]["value"], dtype=np.float64)
