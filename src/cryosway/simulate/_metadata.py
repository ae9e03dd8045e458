"""Draw what each particle is and how it is seen: state, pose, optics, and its written errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.optics import matrix_to_relion_euler, random_rotations, relion_euler_to_matrix
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._real_rows import RealRows
from cryosway.simulate._streams import open_stream

FloatArray = NDArray[np.float64]

#: Label of an image that holds one good particle.
PARTICLE = "particle"


@dataclass(frozen=True, eq=False)
class ParticleTables:
    """The truth, and the metadata as written (with errors); one row per particle each."""

    truth: pd.DataFrame
    written: pd.DataFrame


def draw_particles(options: SimulateOptions, state_count: int) -> ParticleTables:
    """Draw everything about the particles but their pixels.

    Columns of the truth: ``index, state, coordinate, label, wrong_pose, metadata_row, rot, tilt,
    psi`` (degrees), ``shift_x, shift_y`` (Å), the columns of ``Particles.ctf``, ``scale``.
    """
    rows = None if options.metadata is None else RealRows.read(options.metadata)
    drawn = None if rows is None else rows.draw(options.n, open_stream(options.seed, "rows"))
    truth = pd.DataFrame({"index": np.arange(options.n)})
    _add_states(truth, options, state_count)
    _add_labels(truth, options)
    if rows is None or drawn is None:
        truth["metadata_row"] = -1
        _add_poses(truth, _draw_rotations(options), _draw_shifts(options))
        _add_optics(truth, options)
    else:
        truth["metadata_row"] = drawn
        _add_poses(truth, rows.rotations[drawn], rows.shifts_angstrom[drawn])
        for name in rows.ctf:
            truth[name] = rows.ctf[name].to_numpy()[drawn]
    if not options.ctf:
        # CTF = w cos γ − √(1 − w²) sin γ is 1 everywhere for w = 1 and γ = 0.
        truth[["defocus_u", "defocus_v", "defocus_angle", "phase_shift", "cs"]] = 0.0
        truth["amplitude_contrast"] = 1.0
    truth["pixel_size"] = options.pixel_size
    rng = open_stream(options.seed, "scale")
    truth["scale"] = np.exp(options.scale_sd * rng.standard_normal(options.n))
    return ParticleTables(truth, _add_errors(truth, options))


def _add_states(truth: pd.DataFrame, options: SimulateOptions, state_count: int) -> None:
    shares = np.ones(state_count) if options.populations is None else options.populations
    if len(shares) != state_count:
        msg = (
            f"populations has {len(shares)} values but there are {state_count} states; "
            "give one each"
        )
        raise CryoswayError(msg)
    coordinates = options.coordinates or tuple(np.linspace(0, 1, state_count).tolist())
    if len(coordinates) != state_count:
        msg = (
            f"coordinates has {len(coordinates)} values but there are {state_count} states; "
            "give one each"
        )
        raise CryoswayError(msg)
    p = np.asarray(shares, np.float64)
    states = open_stream(options.seed, "states").choice(state_count, options.n, p=p / p.sum())
    truth["state"] = states.astype(np.int32)
    truth["coordinate"] = np.asarray(coordinates, np.float64)[states]


def _add_labels(truth: pd.DataFrame, options: SimulateOptions) -> None:
    rng = open_stream(options.seed, "labels")
    kinds = rng.choice(np.array(options.junk_kinds, dtype=object), options.n)
    junk = rng.random(options.n) < options.junk_fraction
    truth["label"] = np.where(junk, kinds, PARTICLE)


def _draw_rotations(options: SimulateOptions) -> FloatArray:
    rng = open_stream(options.seed, "views")
    if options.view_concentration == 0:
        return random_rotations(options.n, rng)
    # Views follow exp(κ cos tilt) on the sphere (von Mises–Fisher), by inversion.
    kappa = options.view_concentration
    u = rng.random(options.n)
    cos_tilt = 1 + np.log(u + (1 - u) * np.exp(-2 * kappa)) / kappa
    tilt = np.degrees(np.arccos(np.clip(cos_tilt, -1, 1)))
    rot, psi = rng.uniform(-180, 180, (2, options.n))
    return relion_euler_to_matrix(rot, tilt, psi)


def _draw_shifts(options: SimulateOptions) -> FloatArray:
    rng = open_stream(options.seed, "shifts")
    if options.shift_distribution == "normal":
        return rng.normal(0, options.shift, (options.n, 2))
    return rng.uniform(-options.shift, options.shift, (options.n, 2))


def _add_poses(truth: pd.DataFrame, rotations: FloatArray, shifts: FloatArray) -> None:
    truth["rot"], truth["tilt"], truth["psi"] = matrix_to_relion_euler(rotations)
    truth["shift_x"], truth["shift_y"] = shifts.T


def _add_optics(truth: pd.DataFrame, options: SimulateOptions) -> None:
    rng = open_stream(options.seed, "defocus")
    mean = rng.uniform(options.defocus_min, options.defocus_max, options.n)
    difference = options.astigmatism * rng.standard_normal(options.n)
    truth["defocus_u"] = mean + difference / 2
    truth["defocus_v"] = mean - difference / 2
    truth["defocus_angle"] = rng.uniform(-90, 90, options.n)
    truth["voltage"] = options.voltage
    truth["cs"] = options.cs
    truth["amplitude_contrast"] = options.amplitude_contrast
    truth["phase_shift"] = 0.0


def _add_errors(truth: pd.DataFrame, options: SimulateOptions) -> pd.DataFrame:
    """Make the written table from the truth; note in the truth which poses are wrong."""
    rng = open_stream(options.seed, "errors")
    n = options.n
    written = truth.drop(columns=["state", "coordinate", "label", "scale", "metadata_row"])
    turn = np.radians(options.angle_error) * rng.standard_normal((n, 3))
    wrong = rng.random(n) < options.wrong_pose_fraction
    random = random_rotations(n, rng)
    truth["wrong_pose"] = wrong
    if options.angle_error > 0 or wrong.any():
        exact = relion_euler_to_matrix(truth["rot"], truth["tilt"], truth["psi"])
        turned = Rotation.from_rotvec(turn).as_matrix() @ exact
        turned[wrong] = random[wrong]
        written["rot"], written["tilt"], written["psi"] = matrix_to_relion_euler(turned)
    error = options.shift_error * options.pixel_size * rng.standard_normal((n, 2))
    written["shift_x"] += error[:, 0]
    written["shift_y"] += error[:, 1]
    error = options.defocus_error * rng.standard_normal(n)
    written["defocus_u"] += error
    written["defocus_v"] += error
    written["half"] = rng.permutation(np.arange(n) % 2 + 1).astype(np.int8)
    return written
