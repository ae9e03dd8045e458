"""Build the simulated data sets of the benchmarks into a cache folder.

The source files (trajectories, structures, real metadata) are not part of the repository; their
folder is given as an argument or in the environment variable ``CRYOSWAY_BENCH_DATA``.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _assembly_states import make_assembly_states
from _hinge_states import make_hinge_states
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.protein import AtomTable, read_structure, read_trajectory
from cryosway.simulate import (
    SimulatedSet,
    list_assembly_states,
    list_hinge_states,
    simulate,
)

DATA_VARIABLE = "CRYOSWAY_BENCH_DATA"

ADK_STATES = 25
ADK_BOX = 64
ADK_PIXEL_SIZE = 3.0
ADK_SHIFT = 15.0  # Å, about a thirteenth of the box


def find_data(data: str | Path | None = None) -> Path:
    """Give the folder of the source files, or say how to name it."""
    folder = data or os.environ.get(DATA_VARIABLE)
    if not folder or not Path(folder).is_dir():
        msg = f"no data folder {folder or ''!r}; give it as an argument or in {DATA_VARIABLE}"
        raise CryoswayError(msg)
    return Path(folder)


def _name_folder(cache: str | Path, name: str, n: int) -> Path:
    return Path(cache) / (name if n == 10_000 else f"{name}_n{n}")


def _simulate_table(
    table: pd.DataFrame, states: list[AtomTable], folder: Path, **options: Any
) -> SimulatedSet:
    """Simulate states that lie as they shall, and write the table of them beside the STAR."""
    result = simulate(states, folder, superpose=False, **options)
    table.to_csv(result.path / "states.csv", index=False)
    return result


def build_adk(
    cache: str | Path,
    *,
    snr: float,
    n: int = 10_000,
    seed: int = 0,
    data: str | Path | None = None,
) -> SimulatedSet:
    """Adenylate kinase closing to opening: 25 states of a path, heavy atoms, 3 Å molmap.

    Parameters
    ----------
    cache
        Where the set's folder is made: ``adk_snr0.1`` (``adk_snr0.1_n100000`` for other n).
    snr
        Of CryoBench's definition.
    n
        Number of images of 64 px at 3 Å per pixel.
    seed
        Of the simulation.
    data
        Folder with ``trajectories/adk_dims.dcd`` and ``adk.psf.gz``.
    """
    folder = find_data(data) / "trajectories"
    trajectory = read_trajectory(folder / "adk.psf.gz", folder / "adk_dims.dcd")
    return simulate(
        trajectory,
        _name_folder(cache, f"adk_snr{snr:g}", n),
        n=n,
        box=ADK_BOX,
        pixel_size=ADK_PIXEL_SIZE,
        snr=snr,
        seed=seed,
        states=ADK_STATES,
        shift=ADK_SHIFT,
        resolution=3.0,
    )


def build_apoferritin(
    cache: str | Path,
    *,
    snr: float = 0.05,
    n: int = 10_000,
    seed: int = 0,
    data: str | Path | None = None,
) -> SimulatedSet:
    """Apoferritin (6Z6U), one state: the homogeneous control, 64 px at 3 Å per pixel."""
    return simulate(
        find_data(data) / "models" / "6z6u.pdb.gz",
        _name_folder(cache, "apoferritin", n),
        n=n,
        box=64,
        pixel_size=3.0,
        snr=snr,
        seed=seed,
        shift=15.0,
        ligands=False,
    )


# The SNR that real stacks have at such pixels: at least 0.07 at 13 Å (EMPIAR-10076) and 0.055 at
# 4.9 Å (TRPV1). CryoBench's 0.01 counts noise up to 3 Å, which 64 px do not hold.
NEURAL_SNR = 0.05


def _name_neural(name: str, snr: float) -> str:
    """Name of a set, with its SNR where it is not the usual one."""
    return name if snr == NEURAL_SNR else f"{name}_snr{snr:g}"


ASSEMBLY_PIXEL_SIZE = 5.0
HINGE_PIXEL_SIZE = 4.5


def build_assembly(
    cache: str | Path,
    *,
    n: int = 10_000,
    snr: float = NEURAL_SNR,
    seed: int = 0,
    data: str | Path | None = None,
) -> SimulatedSet:
    """Sixteen assembly states of the large ribosomal subunit (4V5D), 64 px at 5 Å per pixel.

    They lack up to six blocks of rRNA with their proteins, and are as unequally populated as the
    states of CryoBench's Ribosembly (``states.csv`` beside the STAR). The compositional set.
    """
    atoms = read_structure(find_data(data) / "models" / "4v5d.cif.gz", ligands=False)
    table = list_assembly_states()
    return _simulate_table(
        table,
        make_assembly_states(atoms),
        _name_folder(cache, _name_neural("assembly", snr), n),
        n=n,
        box=64,
        pixel_size=ASSEMBLY_PIXEL_SIZE,
        snr=snr,
        seed=seed,
        populations=table["share"].tolist(),
        shift=10.0,
        resolution=ASSEMBLY_PIXEL_SIZE,
    )


def build_hinge(
    cache: str | Path,
    *,
    n: int = 10_000,
    snr: float = NEURAL_SNR,
    seed: int = 0,
    data: str | Path | None = None,
) -> SimulatedSet:
    """An arm of 48 kDa turning full circle on a body of 100 kDa (7CTH), 64 px at 4.5 Å per pixel.

    A hundred states, equally populated (``states.csv`` beside the STAR), as in CryoBench's
    IgG-1D. The set of large motion.
    """
    atoms = read_structure(find_data(data) / "models" / "mmcif_7cth.cif.gz", ligands=False)
    table = list_hinge_states()
    return _simulate_table(
        table,
        make_hinge_states(atoms),
        _name_folder(cache, _name_neural("hinge", snr), n),
        n=n,
        box=64,
        pixel_size=HINGE_PIXEL_SIZE,
        snr=snr,
        seed=seed,
        coordinates=table["angle"].tolist(),
        shift=9.0,  # so that cryoDRGN's window, which begins at 0.85 of the radius, cuts nothing
        resolution=HINGE_PIXEL_SIZE,
    )


# Chains of 4V5D; the names of ribosomal chains begin with A (30S) or B (50S).
_TRNA_CHAINS = {"A": "AY", "P": "AV", "E": "AW"}
_MRNA_CHAIN = "AX"
RATCHET_DEGREES = (0.0, 1.5, 3.0, 4.5, 6.0)
# Sites that are occupied, and the share of particles for each ratchet angle above.
_OCCUPANCIES: dict[str, tuple[float, ...]] = {
    "AP": (0.10, 0.06, 0.03, 0.02, 0.01),
    "APE": (0.12, 0.07, 0.04, 0.02, 0.01),
    "P": (0.07, 0.05, 0.04, 0.03, 0.02),
    "PE": (0.03, 0.05, 0.07, 0.08, 0.08),
}


def build_ribosome(
    cache: str | Path,
    *,
    n: int = 20_000,
    box: int = 128,
    snr: float = 0.05,
    seed: int = 0,
    data: str | Path | None = None,
) -> SimulatedSet:
    """70S ribosome (4V5D) that ratchets and binds tRNAs, seen as EMPIAR-10076 was.

    Twenty states: 30S turned by 0–6° against 50S, and tRNA in sites A, P and E or not
    (``states.csv`` beside the STAR). Views, shifts and defocus are whole rows of the real data
    set, noise has its spectrum, written metadata are in error and 15 % of images are junk.
    """
    folder = find_data(data)
    atoms = read_structure(folder / "models" / "4v5d.cif.gz", ligands=False)
    table = _list_ribosome_states()
    states = [_make_ribosome(atoms, row.ratchet, row.sites) for row in table.itertuples()]
    name = "ribosome" if (n, box) == (20_000, 128) else f"ribosome_n{n}_{box}px"
    return _simulate_table(
        table,
        states,
        Path(cache) / name,
        n=n,
        box=box,
        pixel_size=419.2 / box,  # the box of EMPIAR-10076: 320 × 1.31 Å
        snr=snr,
        seed=seed,
        populations=table["share"].tolist(),
        coordinates=table["ratchet"].tolist(),
        potential="electron",
        solvent=True,
        metadata=folder / "metadata" / "empiar10076_poses_ctf_rows7on.npz",
        noise=folder / "metadata" / "real_noise_psd.json",
        noise_entry="EMPIAR-10076 (7)",
        scale_sd=0.15,
        angle_error=1.5,
        wrong_pose_fraction=0.03,
        shift_error=0.5,
        defocus_error=150.0,
        junk_fraction=0.15,
        snr_images=1_000,
    )


def _list_ribosome_states() -> pd.DataFrame:
    rows = [
        {"ratchet": angle, "sites": sites, "share": share}
        for sites, shares in _OCCUPANCIES.items()
        for angle, share in zip(RATCHET_DEGREES, shares, strict=True)
    ]
    table = pd.DataFrame(rows)
    table["share"] /= table["share"].sum()
    table.insert(0, "state", range(len(table)))
    return table


def _make_ribosome(atoms: AtomTable, ratchet: float, sites: str) -> AtomTable:
    """Turn 30S by `ratchet` degrees about the line between the subunits' centres; pick tRNAs.

    The axis is perpendicular to the interface, as in the real ratchet; tRNAs and mRNA turn half
    as far.
    """
    large = np.char.startswith(atoms.chains, "B")
    ligand = np.isin(atoms.chains, [*_TRNA_CHAINS.values(), _MRNA_CHAIN])
    small = ~large & ~ligand
    centre = atoms.coordinates[small].mean(axis=0)
    axis = centre - atoms.coordinates[large].mean(axis=0)
    axis /= np.linalg.norm(axis)
    turned = atoms.coordinates.copy()
    for mask, share in ((small, 1.0), (ligand, 0.5)):
        rotation = Rotation.from_rotvec(np.radians(share * ratchet) * axis)
        turned[mask] = rotation.apply(atoms.coordinates[mask] - centre) + centre
    absent = [chain for site, chain in _TRNA_CHAINS.items() if site not in sites]
    return atoms.with_coordinates(turned)[~np.isin(atoms.chains, absent)]
