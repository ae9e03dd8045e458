"""The sign of the protein, told by the images."""

import mrcfile
import numpy as np
import pytest

import cryosway as cs
from cryosway.particles._contrast import detect_contrast


def invert(folder, star):
    stack = star.parent / "trpv1_small_stack.mrcs"
    with mrcfile.open(stack) as file, mrcfile.new(folder / stack.name) as copy:
        copy.set_data(-file.data)
        copy.set_image_stack()
        copy.voxel_size = 4.88
    (folder / "p.star").write_text(star.read_text())
    return folder / "p.star"


def test_trpv1_is_white_and_its_inverse_dark(trpv1, tmp_path):
    white = detect_contrast(cs.read_particles(trpv1))
    dark = detect_contrast(cs.read_particles(invert(tmp_path, trpv1)))
    assert (white.sign, dark.sign) == (1, -1)
    assert white.z == pytest.approx(-dark.z) and white.z > 5
    assert white.confidence > 0.999 and white.images == 10
    assert white.describe().startswith("protein is white: the images correlate")
    assert "dark" in dark.describe() and "below zero" in dark.describe()


def test_noise_has_no_sign(make):
    make.stack("s.mrcs", 200, box=32)
    p = cs.read_particles(make.star(rows=make.rows(200), optics=[make.optics(box=32)]))
    estimate = detect_contrast(p)
    assert estimate.sign == 0 and abs(estimate.z) < 4


def test_gradients_and_brightness_do_not_matter(make):
    """Images of noise on a strong ramp and offset: nothing about the protein can be said."""
    ramp = np.linspace(-1, 1, 32)
    images = make.rng.normal(size=(150, 32, 32)) + 3 * make.rng.normal(size=(150, 1, 1)) * ramp + 50
    make.stack("s.mrcs", images=images)
    p = cs.read_particles(make.star(rows=make.rows(150), optics=[make.optics(box=32)]))
    assert detect_contrast(p).sign == 0


def test_shifts_are_taken_out_first(make):
    """Blobs far off centre, in noise, are seen once the shifts bring them to the centre."""
    rows = make.rows(60)
    shifts = make.rng.uniform(-9, 9, (60, 2))
    along = np.arange(32) - 16
    blobs = [
        np.exp(-((along + t[1] / 1.5) ** 2)[:, None] / 20 - (along + t[0] / 1.5) ** 2 / 20)
        for t in shifts
    ]
    make.stack("s.mrcs", images=-np.array(blobs) + make.rng.normal(size=(60, 32, 32)))
    rows = [(*r[:5], *t, *r[7:]) for r, t in zip(rows, shifts, strict=True)]
    p = cs.read_particles(make.star(rows=rows, optics=[make.optics(box=32, w=1.0)]))
    p = p.with_ctf(p.ctf.assign(defocus_u=0.0, defocus_v=0.0, cs=0.0))
    assert detect_contrast(p).sign == -1
    flipped = p.with_poses(p.rotations, -p.shifts)
    assert abs(detect_contrast(flipped).z) < abs(detect_contrast(p).z) / 2
