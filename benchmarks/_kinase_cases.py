"""Images of adenylate kinase on its way from closed to open, and models to start from.

98 frames of a path (MDAnalysis' ``adk_dims``), superposed on the CORE, in images of 64 px at 1.5 Å
per pixel, CTF 1–2 µm, shifts of up to 3 Å that are known: as cryoSTAR was measured.
"""

import shutil
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _datasets import find_data

import cryosway as cs
from cryosway.methods._dock.dock import dock
from cryosway.particles import StackWriter
from cryosway.protein import (
    AtomTable,
    find_superposition,
    read_structure,
    read_trajectory,
    write_structure,
)
from cryosway.simulate import SimulatedSet, simulate

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BOX, PIXEL_SIZE = 64, 1.5
CORE_FRAME = 49  # that all others are superposed on
# Residue numbers, both ends included; the rest is the CORE.
REGIONS = {"NMP": (30, 59), "LID": (122, 159)}
_CRYSTAL = "1ake.cif.gz"


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes
    ----------
    reference
        Frame that the fit starts from; none for the crystal structure 1AKE, docked.
    images, snr
        Of the set.
    noise
        Whether the images are replaced by noise.
    still
        Whether all images are of the reference.
    options
        Of `structural`, beside its defaults.
    """

    reference: int | None = CORE_FRAME
    images: int = 2_000
    snr: float = 0.1
    noise: bool = False
    still: bool = False
    options: dict[str, str] = field(default_factory=dict)


CASES = {
    "middle": Case(),
    "open": Case(reference=97),
    "1ake": Case(reference=None),
    "noise": Case(noise=True, options={"check_docking": "false", "epochs": "96"}),
    "still": Case(still=True, options={"epochs": "96"}),
    "snr0.01": Case(images=10_000, snr=0.01),
}


@dataclass(frozen=True, eq=False)
class KinasePath:
    """The path: all atoms of every frame about their common centre.

    Attributes
    ----------
    atoms
        Of one frame.
    frames
        Shape (F, atoms, 3), Å.
    regions
        Masks (N,) of the residues: NMP, LID and CORE.
    """

    atoms: AtomTable
    frames: FloatArray
    regions: dict[str, Mask]

    @classmethod
    def read(cls, data: Path | None) -> "KinasePath":
        """Read the trajectory and superpose its frames on the CORE."""
        folder = find_data(data) / "trajectories"
        trajectory = read_trajectory(folder / "adk.psf.gz", folder / "adk_dims.dcd")
        atoms = trajectory.atoms
        numbers, alpha = atoms.residue_numbers, atoms.atom_names == "CA"
        inside = {name: (numbers >= a) & (numbers <= b) for name, (a, b) in REGIONS.items()}
        inside["CORE"] = ~(inside["NMP"] | inside["LID"])
        fixed = inside["CORE"] & alpha
        target = trajectory.coordinates[CORE_FRAME][fixed]
        frames = np.stack(
            [find_superposition(x[fixed], target).apply(x) for x in trajectory.coordinates]
        )
        centre = np.average(frames, axis=1, weights=atoms.atomic_numbers).mean(0)
        regions = {name: mask[alpha] for name, mask in inside.items()}
        return cls(atoms, frames - centre, regions)

    @property
    def residues(self) -> FloatArray:
        """Cα of every frame, (F, N, 3), Å."""
        return self.frames[:, self.atoms.atom_names == "CA"]

    def state(self, frame: int) -> AtomTable:
        """Give all atoms of a frame."""
        return self.atoms.with_coordinates(self.frames[frame])


def simulate_path(path: KinasePath, case: Case, cache: Path, seed: int) -> SimulatedSet:
    """Simulate the images of a case, or find them in the cache."""
    ending = ("_still" if case.still else "") + (f"_seed{seed}" if seed else "")
    frames = [CORE_FRAME] if case.still else range(len(path.frames))
    return simulate(
        [path.state(frame) for frame in frames],
        cache / f"adk_structural_snr{case.snr:g}_n{case.images}{ending}",
        n=case.images,
        box=BOX,
        pixel_size=PIXEL_SIZE,
        snr=case.snr,
        seed=seed,
        superpose=False,
        defocus_min=10_000.0,
        defocus_max=20_000.0,
        astigmatism=0.0,
        envelope_bfactor=0.0,
        shift=3.0,
    )


def find_particles(made: SimulatedSet, case: Case, seed: int) -> Path:
    """Give the particles that are fitted: those made, or noise with their poses and CTF."""
    if not case.noise:
        return made.particles
    folder = made.path.with_name(f"{made.path.name}_noise")
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng([seed, 1])
    images = random.standard_normal((case.images, BOX, BOX), np.float32)
    with StackWriter(folder / "particles.mrcs", BOX, PIXEL_SIZE, np.float32, case.images) as writer:
        writer.write(images)
    shutil.copy(made.particles, folder / "particles.star")
    return folder / "particles.star"


def find_reference(path: KinasePath, made: SimulatedSet, case: Case) -> Path:
    """Write the model that the fit starts from: a frame, or the crystal structure, docked."""
    if case.reference is not None:
        out = made.path / f"reference{case.reference}.cif"
        atoms = path.state(case.reference)
        if case.still:  # the simulation puts the mean of its states' centres at 0
            middle = np.average(atoms.coordinates, axis=0, weights=atoms.atomic_numbers)
            atoms = atoms.with_coordinates(atoms.coordinates - middle)
        write_structure(out, atoms)
        return out
    folder = made.path.parent / "jobs" / f"dock_{made.path.name}"
    crystal = Path(str(files("cryosway.simulate") / "data" / _CRYSTAL))
    chain = folder.with_name(f"{folder.name}.cif")
    chain.parent.mkdir(exist_ok=True)
    # The inhibitor is not in the images.
    write_structure(chain, read_structure(crystal, ligands=False).select_chains(["A"]))
    consensus = cs.backproject(made.particles, folder.with_name(f"mean_{made.path.name}"))
    found = dock(chain, consensus.path / "volumes" / "mean.mrc", folder)
    return found.path / "models" / "docked.cif"
