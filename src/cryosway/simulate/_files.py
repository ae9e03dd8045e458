"""Write the tables and the truth volumes of a simulation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from cryosway.engine import write_json, write_table
from cryosway.particles import StarBlock, write_map, write_star
from cryosway.simulate._metadata import ParticleTables
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._projectors import get_potential
from cryosway.simulate._states import States
from cryosway.simulate._truth_volume import sample_density

_OPTICS = ["voltage", "cs", "amplitude_contrast"]

# label, column of the written table, decimals
_PARTICLE_LABELS = (
    ("rlnAngleRot", "rot", 6),
    ("rlnAngleTilt", "tilt", 6),
    ("rlnAnglePsi", "psi", 6),
    ("rlnOriginXAngst", "shift_x", 6),
    ("rlnOriginYAngst", "shift_y", 6),
    ("rlnDefocusU", "defocus_u", 4),
    ("rlnDefocusV", "defocus_v", 4),
    ("rlnDefocusAngle", "defocus_angle", 6),
    ("rlnPhaseShift", "phase_shift", 6),
    ("rlnRandomSubset", "half", None),
    ("rlnOpticsGroup", "optics_group", None),
)


def write_particles(folder: Path, tables: ParticleTables, options: SimulateOptions) -> None:
    """Write truth.parquet and, last of all, particles.star."""
    write_table(folder / "truth.parquet", tables.truth)
    written = tables.written.copy()
    optics = written[_OPTICS].drop_duplicates().reset_index(drop=True)
    keys = {tuple(row): number for number, row in enumerate(optics.to_numpy(), start=1)}
    written["optics_group"] = [keys[tuple(row)] for row in written[_OPTICS].to_numpy()]
    blocks = [_format_optics(optics, options), _format_particles(written)]
    write_star(folder / "particles.star", blocks)


def _format_optics(optics: pd.DataFrame, options: SimulateOptions) -> StarBlock:
    count = len(optics)
    numbers = np.arange(1, count + 1)
    columns = {
        "rlnOpticsGroup": _to_column(numbers),
        "rlnOpticsGroupName": _to_column([f"opticsGroup{i}" for i in numbers]),
        "rlnVoltage": _to_column(optics["voltage"].to_numpy(), 6),
        "rlnSphericalAberration": _to_column(optics["cs"].to_numpy(), 6),
        "rlnAmplitudeContrast": _to_column(optics["amplitude_contrast"].to_numpy(), 6),
        "rlnImagePixelSize": _to_column(np.full(count, options.pixel_size), 6),
        "rlnImageSize": _to_column(np.full(count, options.box)),
        "rlnImageDimensionality": _to_column(np.full(count, 2)),
    }
    return StarBlock("optics", columns, version="30001")


def _format_particles(written: pd.DataFrame) -> StarBlock:
    names = [f"{i:06d}@particles.mrcs" for i in range(1, len(written) + 1)]
    columns = {"rlnImageName": _to_column(names)}
    for label, column, decimals in _PARTICLE_LABELS:
        columns[label] = _to_column(written[column].to_numpy(), decimals)
    return StarBlock("particles", columns, version="30001")


def _to_column(values: ArrayLike, decimals: int | None = None) -> pa.Array:
    listed = np.asarray(values).tolist()
    if decimals is None:
        return pa.array([str(value) for value in listed], pa.string())
    return pa.array([f"{value:.{decimals}f}" for value in listed], pa.string())


def write_truth_volumes(
    folder: Path, states: States, options: SimulateOptions, gain: float, truth: pd.DataFrame
) -> None:
    """Write volumes/state_000.mrc … on the scale of the images, and volumes.json."""
    target = folder / "volumes"
    target.mkdir(exist_ok=True)
    coordinates = truth.groupby("state")["coordinate"].first()
    counts = truth["state"].value_counts()
    entries = []
    for state in range(len(states)):
        name = f"state_{state:03d}.mrc"
        write_map(target / name, gain * _get_density(states, state, options), options.pixel_size)
        entries.append(
            {
                "file": name,
                "kind": "state",
                "label": f"true state {state}",
                "z": [float(coordinates[state])] if state in coordinates else None,
                "resolution_angstrom": None,
                "n_effective": int(counts.get(state, 0)),
                "half_maps": None,
            }
        )
    write_json(target / "volumes.json", {"volumes": entries})


def _get_density(states: States, state: int, options: SimulateOptions) -> NDArray[np.float32]:
    if states.maps:
        return states.maps[state]
    groups = get_potential(options).group(states.atoms[state])
    return sample_density(groups, options.box, options.pixel_size)
