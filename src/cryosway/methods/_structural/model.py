"""The files of a structural job's model, and the decoder that opens them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import gemmi
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import load_tensors, read_json, save_tensors, write_json
from cryosway.jobs import require_latent
from cryosway.methods._consensus import read_noise
from cryosway.methods._nearby_maps import NearbyMaps
from cryosway.methods._structural.composition import Composition
from cryosway.methods._structural.groups import BeadGroups
from cryosway.methods._structural.views import BeadViews
from cryosway.particles import read_map
from cryosway.protein import AtomTable, CoarseModel, coarse_grain, read_structure, write_structure
from cryosway.volumes import Deformation, DeformationSpec

if TYPE_CHECKING:
    from cryosway.jobs import Job

REFERENCE_NAME = "reference.cif"

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class StructuralModel:
    """Everything that turns a latent into a model and its density.

    Attributes
    ----------
    coarse
        The reference: beads, and the atoms that they stand for, the box's centre at 0.
    deformation
        The decoder.
    views
        Density of the beads, and its scale in the images.
    composition
        Which groups of beads may be missing in particles, and shares; none where all are there.
    nucleotide_beads
        Beads of a nucleotide.
    """

    coarse: CoarseModel
    deformation: Deformation
    views: BeadViews
    composition: Composition | None = None
    nucleotide_beads: Literal[1, 3] = 1

    def save(self, folder: Path) -> None:
        """Write reference.cif, model.safetensors and model.json."""
        write_structure(folder / REFERENCE_NAME, self.coarse.atoms)
        tensors: dict[str, Any] = {
            f"deformation.{name}": value.detach().cpu().contiguous()
            for name, value in self.deformation.state_dict().items()
        }
        # The structure file rounds coordinates; these are what the weights belong to.
        tensors["atoms"] = self.coarse.atoms.coordinates
        tensors["scale"] = self.views.scale.cpu()
        if self.composition is not None:
            tensors["composition.part"] = self.composition.groups.part
            tensors["composition.shares"] = self.composition.shares.cpu()
        save_tensors(folder / "model.safetensors", tensors, {})
        description = {
            "volume": "AtomicModel",
            "latent": "LatentTable",
            "deformation": self.deformation.spec.model_dump(),
            "nucleotide_beads": self.nucleotide_beads,
            "box": self.views.atoms.box,
            "pixel_size": self.views.atoms.pixel_size,
            "occupancies": [] if self.composition is None else self.composition.groups.names,
        }
        write_json(folder / "model.json", description)

    @classmethod
    def load(cls, folder: Path) -> "StructuralModel":
        """Read what `save` wrote."""
        tensors = load_tensors(folder / "model.safetensors")[0]
        described = read_json(folder / "model.json")
        atoms = read_structure(folder / REFERENCE_NAME, hydrogens=True, waters=True)
        atoms = atoms.with_coordinates(np.asarray(tensors["atoms"], np.float64))
        beads = described.get("nucleotide_beads", 1)
        coarse = coarse_grain(atoms, nucleotide_beads=beads)
        spec = DeformationSpec(**described["deformation"])
        deformation = make_deformation(spec, coarse)
        weights = {
            name.removeprefix("deformation."): torch.as_tensor(value)
            for name, value in tensors.items()
            if name.startswith("deformation.")
        }
        deformation.load_state_dict({**deformation.state_dict(), **weights})
        scale = torch.as_tensor(tensors["scale"])
        views = BeadViews(coarse, described["box"], described["pixel_size"], len(scale))
        views.scale.copy_(scale)
        composition = None
        if described.get("occupancies"):
            part = np.asarray(tensors["composition.part"], np.int64)
            groups = BeadGroups(tuple(described["occupancies"]), part)
            shares = torch.as_tensor(tensors["composition.shares"])
            composition = Composition(views, groups, shares)
        return cls(coarse, deformation.eval(), views, composition, beads)

    @torch.no_grad()
    def beads(self, z: FloatArray) -> Tensor:
        """Beads at latents (n, k): (n, N, 3), Å."""
        return self.deformation(torch.from_numpy(np.asarray(z, np.float32)))

    def displacements(self, z: FloatArray) -> FloatArray:
        """Rms displacement of the beads from the reference at latents (n, k): (n,), Å."""
        reference = self.deformation.reference
        parts = [
            (self.beads(part) - reference).square().sum(-1).mean(-1).sqrt().double().numpy()
            for part in np.array_split(z, max(1, len(z) // 256))
        ]
        return np.asarray(np.concatenate(parts))

    def atoms(self, z: FloatArray) -> AtomTable:
        """All atoms, rebuilt on the beads at one latent (k,)."""
        beads = self.beads(z[None])[0].double().numpy()
        return self.coarse.atoms.with_coordinates(self.coarse.rebuild(beads))

    def find_offset(self, job: "Job") -> FloatArray:
        """Where the centre of the box lies in a job's maps, (3,), Å."""
        atoms = self.views.atoms
        means = [entry for entry in job.volumes if entry["kind"] == "mean"]
        origin = np.zeros(3)
        if means:
            origin = np.array(read_map(job.path / "volumes" / means[0]["file"])[1].origin)
        return np.asarray(origin + (atoms.box // 2) * atoms.pixel_size, np.float64)

    def densities(self, z: FloatArray, box: int | None = None) -> npt.NDArray[np.float32]:
        """Densities (n, box, box, box) at latents (n, k), on the scale of the images."""
        found = self.views.density(self.beads(z), box)
        gain = float(self.views.scale[: max(2, len(self.views.scale) // 4)].mean())
        return np.asarray((found * gain).numpy(), np.float32)


def make_deformation(spec: DeformationSpec, coarse: CoarseModel, **more: Any) -> Deformation:
    """Make the decoder of a model; `more` goes to `Deformation`."""
    chains = np.unique(coarse.chains, return_inverse=True)[1].astype(np.int64)
    reference = torch.from_numpy(coarse.coordinates.astype(np.float32))
    return Deformation(spec, reference, torch.from_numpy(chains), **more)


def make_structure(tables: list[AtomTable]) -> gemmi.Structure:
    """Make a gemmi structure of models 1, 2, …."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "models.cif"
        write_structure(path, tables)
        found: gemmi.Structure = gemmi.read_structure(str(path))
    return found


@final
class StructuralDecoder(NearbyMaps):
    """Decodes latents of a structural job: the model, and its density."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job, self._read_consensus)

    @cached_property
    def _model(self) -> StructuralModel:
        return StructuralModel.load(self._job.path)

    @cached_property
    def _offset(self) -> FloatArray:
        return self._model.find_offset(self._job)

    def _read_consensus(self) -> tuple[FloatArray, npt.NDArray[np.float32]]:
        mask = read_map(self._job.path / "volumes" / "mask.mrc")[0]
        return read_noise(self._job.path, len(mask)).power, mask

    def volume(self, z: FloatArray | None) -> npt.NDArray[np.float32]:
        """Density of the beads at latent z, shape (D, D, D)."""
        return np.asarray(self._model.densities(np.atleast_2d(require_latent(z)))[0])

    def model(self, z: FloatArray | None) -> gemmi.Structure:
        """All atoms at latent z; they lie on the job's maps."""
        atoms = self._model.atoms(require_latent(z))
        placed = atoms.coordinates + self._offset
        return make_structure([atoms.with_coordinates(placed)])

    def beads(self, z: FloatArray) -> FloatArray:
        """Beads at latents (n, k): (n, N, 3), Å."""
        return self._model.beads(np.atleast_2d(z)).double().numpy()


def open_decoder(job: "Job") -> StructuralDecoder:
    """Open the decoder of a structural job."""
    return StructuralDecoder(job)
