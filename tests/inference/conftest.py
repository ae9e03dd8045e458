"""Particles of phantoms, projected in closed form and written as a RELION stack."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from cryosway.optics import (
    CtfParams,
    compute_ctf,
    half_plane_frequencies,
    ifft2_half,
    matrix_to_relion_euler,
    random_rotations,
)
from cryosway.particles import Particles, StackWriter, read_particles

BOX, PIXEL = 32, 3.0
OPTICS = (
    "rlnOpticsGroup",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImagePixelSize",
    "rlnImageSize",
    "rlnImageDimensionality",
)
COLUMNS = {
    "rlnAngleRot": "rot",
    "rlnAngleTilt": "tilt",
    "rlnAnglePsi": "psi",
    "rlnOriginXAngst": "x",
    "rlnOriginYAngst": "y",
    "rlnDefocusU": "defocus_u",
    "rlnDefocusV": "defocus_v",
    "rlnDefocusAngle": "defocus_angle",
    "rlnOpticsGroup": "optics_group",
}


@dataclass(frozen=True)
class Simulated:
    """Particles and what they were made of.

    `amounts` (N, C) of each phantom in each image; `noise` per shell: E|noise(k)|².
    """

    particles: Particles
    rotations: np.ndarray
    amounts: np.ndarray
    noise: np.ndarray


def coloured(radius):
    """Noise power over D² that falls fourfold from the centre to the edge of the half plane."""
    return 0.25 + 0.75 * np.exp(-((radius / 6.0) ** 2))


@pytest.fixture(scope="session")
def simulate(tmp_path_factory):
    """Write particles that show mixtures of phantoms.

    `noise` is the standard deviation of the noise per pixel at the lowest frequency; `pixels` are
    the Å per pixel of the optics groups, which the images belong to in turn.
    """

    def make(
        phantoms,
        count,
        *,
        amounts=None,
        noise=0.0,
        shift=0.0,
        pixels=(PIXEL,),
        sign=1,
        box=BOX,
        seed=0,
        edit=None,
    ):
        rng = np.random.default_rng(seed)
        rotations = random_rotations(count, rng)
        amounts = np.ones((count, len(phantoms))) if amounts is None else amounts
        group = np.arange(count) % len(pixels)
        table = make_table(rng, rotations, group, pixels, shift)
        frequencies = half_plane_frequencies(box, dtype=torch.float64).numpy()
        radius = np.hypot(*np.moveaxis(frequencies, -1, 0)) * box
        clean = np.empty((count, *radius.shape), complex)
        for g, pixel in enumerate(pixels):
            rows = np.flatnonzero(group == g)
            flat = frequencies.reshape(-1, 2)
            for start in range(0, len(rows), 500):
                at = rows[start : start + 500]
                clean[at] = sum(
                    amounts[at, c, None] * p.slices(rotations[at], flat, pixel)
                    for c, p in enumerate(phantoms)
                ).reshape(len(at), *radius.shape)
        content = -table[["x", "y"]].to_numpy() / table["pixel_size"].to_numpy()[:, None]
        clean *= np.exp(-2j * np.pi * np.einsum("na,yxa->nyx", content, frequencies))
        clean *= compute_ctf(
            torch.from_numpy(frequencies), CtfParams.from_table(table, dtype=torch.float64)
        ).numpy()
        clean[:, box // 2] = clean[:, :, box // 2] = 0
        images = ifft2_half(torch.from_numpy(clean)).numpy()
        white = np.fft.rfft2(rng.normal(size=images.shape))
        images += noise * np.fft.irfft2(white * np.sqrt(coloured(radius)), s=(box, box))
        images *= sign
        if edit is not None:
            edit(images)
        folder = tmp_path_factory.mktemp("particles")
        write(folder, images.astype(np.float32), table, pixels)
        power = noise**2 * box**2 * coloured(np.arange(box // 2))
        return Simulated(read_particles(folder / "p.star"), rotations, amounts, power)

    return make


def make_table(rng, rotations, group, pixels, shift):
    count = len(rotations)
    rot, tilt, psi = matrix_to_relion_euler(rotations)
    xy = rng.uniform(-shift, shift, (count, 2))
    defocus = rng.uniform(8000, 20000, count)
    return pd.DataFrame(
        {
            "rot": rot,
            "tilt": tilt,
            "psi": psi,
            "x": xy[:, 0],
            "y": xy[:, 1],
            "defocus_u": defocus,
            "defocus_v": defocus + rng.normal(0, 300, count),
            "defocus_angle": rng.uniform(0, 180, count),
            "voltage": 300.0,
            "cs": 2.7,
            "amplitude_contrast": 0.1,
            "optics_group": group + 1,
            "pixel_size": np.asarray(pixels)[group],
        }
    )


def write(folder, images, table, pixels):
    box = images.shape[-1]
    with StackWriter(folder / "p.mrcs", box, pixels[0], np.float32, len(images)) as stack:
        stack.write(images)
    optics = [(g + 1, 300.0, 2.7, 0.1, p, box, 2) for g, p in enumerate(pixels)]
    columns = [table[name].to_numpy() for name in COLUMNS.values()]
    rows = [
        (f"{i + 1:06d}@p.mrcs", *(repr(v.item()) for v in row))
        for i, row in enumerate(zip(*columns, strict=True))
    ]
    blocks = [("optics", OPTICS, optics), ("particles", ("rlnImageName", *COLUMNS), rows)]
    (folder / "p.star").write_text("".join(format_loop(*block) for block in blocks))


def format_loop(name, labels, rows):
    head = f"\n# version 30001\n\ndata_{name}\n\nloop_\n"
    tags = "".join(f"_{label} #{i}\n" for i, label in enumerate(labels, 1))
    return head + tags + "".join(" ".join(map(str, row)) + "\n" for row in rows)
