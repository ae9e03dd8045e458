"""`prepare` makes the stack that every method reads."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.particles import Particles, StackWriter, read_star

OPTICS_LABELS = (
    "OpticsGroup",
    "Voltage",
    "SphericalAberration",
    "AmplitudeContrast",
    "ImagePixelSize",
    "ImageSize",
    "OddThing",
)
OLD_LABELS = (
    "ImageName",
    "AngleRot",
    "AngleTilt",
    "AnglePsi",
    "OriginX",
    "OriginY",
    "DefocusU",
    "Voltage",
    "SphericalAberration",
    "AmplitudeContrast",
    "DetectorPixelSize",
    "Magnification",
)
TRPV1 = Path(__file__).parents[1] / "data" / "trpv1" / "trpv1_small_stack.star"


@pytest.fixture
def trpv1():
    return cs.read_particles(TRPV1)


def write_set(folder, count=64, box=16, pixel_size=2.0, name="s", group=1, seed=0, voltage=300):
    """A RELION 3.1 set of blobs in noise, each off centre by its shift."""
    rng = np.random.default_rng(seed)
    shifts = rng.uniform(-3, 3, (count, 2)) * pixel_size
    along = np.arange(box) - box // 2
    images = [
        4 * np.exp(-((along + y) ** 2)[:, None] / 6 - (along + x) ** 2 / 6)
        for x, y in shifts / pixel_size
    ] + rng.normal(size=(count, box, box))
    with StackWriter(folder / f"{name}.mrcs", box, pixel_size, "float32", count) as stack:
        stack.write(images.astype(np.float32))
    labels = (
        "ImageName AngleRot AngleTilt AnglePsi OriginXAngst OriginYAngst DefocusU DefocusV "
        "DefocusAngle OpticsGroup RandomSubset GroupName"
    )
    rows = [
        f"{i + 1}@{name}.mrcs {i} {i / 2} {-i} {x:.6f} {y:.6f} 0 0 0 {group} {i % 2 + 1} 007"
        for i, (x, y) in enumerate(shifts)
    ]
    text = "data_optics\nloop_\n" + "".join(f"_rln{label}\n" for label in OPTICS_LABELS)
    text += f"{group} {voltage} 0.0 1.0 {pixel_size} {box} odd\n\ndata_particles\nloop_\n"
    text += "".join(f"_rln{label}\n" for label in labels.split()) + "\n".join(rows) + "\n"
    (folder / f"{name}.star").write_text(text)
    return cs.read_particles(folder / f"{name}.star")


def test_trpv1(trpv1, tmp_path):
    job = cs.prepare(trpv1, tmp_path / "job", box=32)
    assert job.info["status"] == "finished"
    p = cs.read_particles(tmp_path / "job" / "particles.star")
    assert (len(p), p.box, p.contrast_sign) == (10, 32, 1)
    assert p.pixel_size == pytest.approx(4.88 * 48 / 32)
    np.testing.assert_allclose(p.rotations, trpv1.rotations, atol=1e-7)
    assert (p.shifts == 0).all()
    unchanged = [name for name in p.ctf if name != "pixel_size"]
    np.testing.assert_array_equal(p.ctf[unchanged], trpv1.ctf[unchanged])
    decisions = {
        d["what"]: d for d in json.loads((tmp_path / "job" / "decisions.json").read_text())
    }
    assert decisions["contrast"]["value"] == "white"
    with mrcfile.open(tmp_path / "job" / "particles.mrcs") as stack:
        assert stack.data.dtype == np.float16 and stack.is_image_stack()
        assert stack.voxel_size.x == pytest.approx(7.32, abs=1e-4)
    assert mrcfile.validate(tmp_path / "job" / "particles.mrcs")


def test_star_keeps_columns_and_where_images_came_from(trpv1, tmp_path):
    cs.prepare(trpv1, tmp_path / "job", box=32)
    before, after = (
        {b.name: b for b in read_star(path)} for path in (TRPV1, tmp_path / "job/particles.star")
    )
    assert set(before["particles"].columns) <= set(after["particles"].columns)
    assert set(before["optics"].columns) <= set(after["optics"].columns)
    columns = after["particles"].columns
    for label in ("rlnDefocusU", "rlnClassNumber", "rlnRandomSubset"):
        assert columns[label] == before["particles"].columns[label]
    assert columns["cryoswaySourceImageName"][2].as_py() == "000003@trpv1_small_stack.mrcs"
    assert columns["cryoswayShiftXAngst"][0].as_py() == "-8.149219"
    frame = starfile.read(tmp_path / "job/particles.star")
    assert frame["optics"].loc[0, ["rlnImageSize", "rlnImageDimensionality"]].tolist() == [32, 2]
    table = pd.read_parquet(tmp_path / "job/particles.parquet")
    np.testing.assert_allclose(table[["removed_shift_x", "removed_shift_y"]], trpv1.shifts)
    assert (table["shift_x"] == 0).all() and len(table) == 10
    assert {"rot", "tilt", "psi", "defocus_u", "half", "background_sd"} <= set(table.columns)


def test_images_are_centred_normalised_and_windowed(tmp_path):
    p = write_set(tmp_path)
    cs.prepare(p, tmp_path / "job", window=False)
    q = cs.read_particles(tmp_path / "job" / "particles.star")
    images = q.images()
    mean = images.mean(axis=0)
    assert np.unravel_index(mean.argmax(), mean.shape) == (8, 8)
    outside = np.hypot(*np.mgrid[-8:8, -8:8]) >= 6
    np.testing.assert_allclose(images[:, outside].mean(axis=1), 0, atol=0.1)
    np.testing.assert_allclose(images[:, outside].std(axis=1), 1, rtol=0.2)
    cs.prepare(p, tmp_path / "windowed", contrast="white")
    windowed = cs.read_particles(tmp_path / "windowed" / "particles.star").images()
    assert (windowed[:, 0, :] == 0).all()
    np.testing.assert_allclose(windowed[:, 8, 8], images[:, 8, 8], rtol=2e-3)


@pytest.mark.parametrize(("contrast", "sign"), [("auto", 1), ("white", -1), ("dark", 1)])
def test_dark_protein_becomes_white(tmp_path, contrast, sign):
    p = write_set(tmp_path)
    with mrcfile.open(tmp_path / "s.mrcs", "r+") as stack:
        stack.set_data(-stack.data)
    p = cs.read_particles(tmp_path / "s.star")
    cs.prepare(p, tmp_path / "job", contrast=contrast)
    centre = cs.read_particles(tmp_path / "job" / "particles.star").images()[:, 8, 8].mean()
    assert np.sign(centre) == sign


def test_sign_of_the_metadata_is_followed_and_questioned(tmp_path):
    p = write_set(tmp_path)
    sparc = p.write(tmp_path / "p.cs")
    table = np.load(sparc)
    table["blob/sign"] = -1
    with sparc.open("wb") as file:
        np.save(file, table)
    with pytest.warns(
        CryoswayWarning, match="metadata say that protein is dark but protein is white"
    ):
        cs.prepare(cs.read_particles(sparc), tmp_path / "job")
    q = cs.read_particles(tmp_path / "job" / "particles.star")
    assert q.images()[:, 8, 8].mean() < 0
    np.testing.assert_array_equal(q.source["uid"], table["uid"])


def test_no_sign_in_noise(tmp_path):
    with StackWriter(tmp_path / "n.mrcs", 16, 2.0, "float32", 50) as stack:
        stack.write(np.random.default_rng(0).normal(size=(50, 16, 16)).astype("f4"))
    with pytest.warns(CryoswayWarning, match="no CTF"):
        p = cs.read_particles(tmp_path / "n.mrcs")
    with pytest.warns(CryoswayWarning, match=r"not to be told: .*say contrast= \(--contrast\)"):
        cs.prepare(p, tmp_path / "job", box=8)
    with pytest.warns(CryoswayWarning, match="no CTF"):
        q = cs.read_particles(tmp_path / "job" / "particles.star")
    assert q.contrast_sign is None and not q.has_poses and q.box == 8


def test_relion30_becomes_31(tmp_path):
    p = write_set(tmp_path)
    text = "data_\nloop_\n" + "".join(f"_rln{label}\n" for label in OLD_LABELS)
    text += "".join(f"{i + 1}@s.mrcs {i} 5 6 1.5 -2 0 200 0 1 2 10000\n" for i in range(64))
    (tmp_path / "old.star").write_text(text)
    p = cs.read_particles(tmp_path / "old.star")
    cs.prepare(p, tmp_path / "job", box=8, contrast="white")
    optics, particles = read_star(tmp_path / "job" / "particles.star")
    assert (optics.name, particles.name) == ("optics", "particles")
    assert not {"rlnVoltage", "rlnOriginX", "rlnMagnification"} & set(particles.columns)
    q = cs.read_particles(tmp_path / "job" / "particles.star")
    assert q.pixel_size == 4.0 and (q.ctf["voltage"] == 200).all() and (q.shifts == 0).all()
    np.testing.assert_allclose(q.rotations, p.rotations, atol=1e-7)


def test_mixed_groups_become_one_stack(tmp_path):
    a = write_set(tmp_path, box=64, pixel_size=1.25, name="a", count=40)
    b = write_set(tmp_path, box=60, pixel_size=1.24, name="b", count=24, group=5, voltage=200)
    p = Particles.concatenate([a, b])[np.random.default_rng(0).permutation(64)]
    cs.prepare(p, tmp_path / "job", box=32, contrast="white", batch=10)
    q = cs.read_particles(tmp_path / "job" / "particles.star")
    assert q.box == 32
    sizes = q.pixel_size
    assert sizes[1] == pytest.approx(2.5) and sizes[5] == pytest.approx(60 * 1.24 / 30)
    assert abs(sizes[5] / sizes[1] - 1) < 0.01
    np.testing.assert_array_equal(q.ctf["voltage"], p.ctf["voltage"])
    for group in (1, 5):
        mean = q.images(q.ctf["optics_group"] == group).mean(axis=0)
        assert np.unravel_index(mean.argmax(), mean.shape) == (16, 16)
    optics = starfile.read(tmp_path / "job/particles.star")["optics"]
    assert optics["rlnImageSize"].tolist() == [32, 32]


def test_whitening_writes_its_spectrum(tmp_path):
    p = write_set(tmp_path, count=200, box=32)
    cs.prepare(p, tmp_path / "job", whiten=True, contrast="white")
    (noise,) = json.loads((tmp_path / "job" / "curves.json").read_text())["noise"]
    assert len(noise["power"]) == 17 and noise["frequency_per_angstrom"][-1] == pytest.approx(0.25)
    np.testing.assert_allclose(noise["power"][3:15], 1, rtol=0.3)


def test_bytes_do_not_depend_on_threads(tmp_path):
    p = write_set(tmp_path, count=100)
    results = []
    for threads in (1, 3):
        cs.prepare(p, tmp_path / str(threads), box=8, threads=threads, batch=7)
        results.append((tmp_path / str(threads) / "particles.mrcs").read_bytes())
    assert results[0] == results[1]


def test_finished_job_stands(tmp_path):
    p = write_set(tmp_path)
    cs.prepare(p, tmp_path / "job", box=8)
    before = (tmp_path / "job" / "particles.mrcs").stat().st_mtime_ns
    cs.prepare(p, tmp_path / "job", box=8)
    assert (tmp_path / "job" / "particles.mrcs").stat().st_mtime_ns == before
    with pytest.raises(CryoswayError, match="holds another job"):
        cs.prepare(p, tmp_path / "job", box=10)


_KILLED = """
import sys, time, cryosway as cs
from cryosway.methods._inputs import prepare as prepare_module
prepare_module._SECONDS_PER_CHECKPOINT = 0.0
real = prepare_module._save
def save(job, stack, background):
    real(job, stack, background)
    print(stack.written, flush=True)
    time.sleep(0.2)
prepare_module._save = save
cs.prepare(cs.read_particles(sys.argv[1]), sys.argv[2], box=8, batch=10, threads=2)
"""


def test_killed_job_resumes_to_the_same_bytes(tmp_path, capfd):
    p = write_set(tmp_path, count=100)
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path / "s.star"), str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if int(line) >= 40:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert json.loads((tmp_path / "killed" / "job.json").read_text())["status"] == "running"
    began = time.monotonic()
    cs.prepare(p, tmp_path / "killed", box=8, batch=10)
    cs.prepare(p, tmp_path / "whole", box=8, batch=10)
    assert time.monotonic() - began < 60
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert "resumes" in log
    for name in ("particles.mrcs", "particles.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    stars = [(tmp_path / job / "particles.star").read_text() for job in ("killed", "whole")]
    assert stars[0].replace("/killed/", "/whole/") == stars[1]


def test_images_that_cannot_be_prepared(tmp_path):
    p = write_set(tmp_path)
    with mrcfile.open(tmp_path / "s.mrcs", "r+") as stack:
        stack.data[5, 3, 3] = np.nan
    with pytest.raises(
        CryoswayError, match=r"particle 6 \(000006@s\.mrcs\) holds values that are not finite"
    ):
        cs.prepare(cs.read_particles(tmp_path / "s.star"), tmp_path / "a", contrast="white")
    assert json.loads((tmp_path / "a" / "job.json").read_text())["status"] == "failed"
    with mrcfile.open(tmp_path / "s.mrcs", "r+") as stack:
        stack.data[5] = 1e6
    p = cs.read_particles(tmp_path / "s.star")
    with pytest.raises(
        CryoswayError, match=r"particle 6 .* too large for float16; pass dtype='float32'"
    ):
        cs.prepare(p, tmp_path / "b", contrast="white", normalise=False)
    cs.prepare(p, tmp_path / "c", contrast="white", normalise=False, dtype="float32")
    with mrcfile.open(tmp_path / "s.mrcs", "r+") as stack:
        stack.data[5] = 0
    with pytest.warns(CryoswayWarning, match=r"particle 6 \(000006@s\.mrcs\) is a blank image"):
        cs.prepare(cs.read_particles(tmp_path / "s.star"), tmp_path / "d", contrast="white")


def test_settings_are_checked(tmp_path):
    p = write_set(tmp_path)
    with pytest.raises(CryoswayError, match="contrast is one of auto, white, dark, not 'grey'"):
        cs.prepare(p, tmp_path / "job", contrast="grey")
    with pytest.raises(CryoswayError, match="batch is at least 1, not 0"):
        cs.prepare(p, tmp_path / "job", batch=0)
    with pytest.raises(CryoswayError, match="dtype is one of float16, float32"):
        cs.prepare(p, tmp_path / "job", dtype="int8")
    with pytest.raises(CryoswayError, match="nothing to prepare"):
        cs.prepare(p[[]], tmp_path / "job")
    with pytest.raises(CryoswayError, match="box 64 would need more detail"):
        cs.prepare(p, tmp_path / "job", box=64)


def test_disk_that_is_too_small(tmp_path, monkeypatch):
    import shutil

    p = write_set(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        CryoswayError, match=r"needs 0\.0 GB but its disk has only 0\.0 GB free; make room"
    ):
        cs.prepare(p, tmp_path / "job")
