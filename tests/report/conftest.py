"""Small maps and job folders for the report, written in the format of docs/format.md."""

import numpy as np
import pandas as pd
import pytest

from cryosway.engine import JobFolder, write_json, write_table
from cryosway.particles import write_map

BOX = 32
PIXEL_SIZE = 3.0


def draw_blobs(centres, sd=3.0, box=BOX):
    """Sum Gaussians at points (x, y, z) voxels from the origin."""
    z, y, x = np.indices((box,) * 3) - box // 2
    volume = np.zeros((box,) * 3)
    for cx, cy, cz in centres:
        volume += np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * sd**2))
    return volume.astype(np.float32)


@pytest.fixture
def blobs():
    return draw_blobs


def make_particles(count, *, latents):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"index": np.arange(count)})
    table["rot"] = rng.uniform(-180, 180, count)
    table["tilt"] = np.rad2deg(np.arccos(rng.uniform(-1, 1, count)))
    table["shift_x"], table["shift_y"] = rng.normal(size=(2, count))
    table["defocus_u"] = rng.uniform(8e3, 2e4, count)
    table["defocus_v"] = table["defocus_u"] + 200
    if latents:
        for name in ("pc1", "pc2", "z1", "z2", "umap1", "umap2"):
            table[name] = rng.normal(size=count)
        table["cluster"] = 1 + (table["pc1"] > 0)
    return table


@pytest.fixture
def particles():
    return make_particles(400, latents=True)


VERDICT = {
    "verdict": "heterogeneous",
    "directions": [
        {"variance_explained": 0.312, "noise_alone": 0.021, "p_value": 0.0004},
        {"variance_explained": 0.02, "noise_alone": 0.019, "p_value": 0.41},
    ],
}


def write_maps(folder, *, latents):
    (folder / "volumes").mkdir()
    closed, opened = draw_blobs([(0, 0, 0), (6, 0, 0)]), draw_blobs([(0, 0, 0), (0, 6, 0)])
    maps = [("mean.mrc", "mean", "consensus", (closed + opened) / 2, {"resolution_angstrom": 7.31})]
    if latents:
        for number, volume in enumerate((closed, opened), start=1):
            maps.append((
                f"cluster_0{number}.mrc", "cluster", f"cluster {number}", volume,
                {"population": 150 + number, "n_effective": 90.0, "resolution_angstrom": 8.0},
            ))  # fmt: skip
        for point, share in enumerate((0.0, 0.5, 1.0), start=1):
            maps.append((
                f"path_pc1_0{point}.mrc", "path", f"direction 1, point {point} of 3",
                (1 - share) * closed + share * opened,
                {"direction": 1, "point": point, "n_effective": 50.0},
            ))  # fmt: skip
    entries = []
    for name, kind, label, volume, extra in maps:
        write_map(folder / "volumes" / name, volume, PIXEL_SIZE)
        entries.append({"file": name, "kind": kind, "label": label, "z": None, **extra})
    write_json(folder / "volumes" / "volumes.json", {"volumes": entries})


def write_curves(folder, *, latents):
    frequency = np.arange(BOX // 2) / (BOX * PIXEL_SIZE)
    fsc = {"label": "masked, corrected", "volume": "mean.mrc", "resolution_angstrom": 7.31}
    fsc |= {"frequency_per_angstrom": frequency, "value": np.linspace(1, 0, BOX // 2)}
    noise = {"optics_group": 1, "frequency_per_angstrom": frequency, "power": 1 + frequency}
    curves = {"fsc": [fsc], "noise": [noise]}
    if latents:
        names = ("variance_explained", "noise_alone", "p_value")
        curves["spectrum"] = {n: [one[n] for one in VERDICT["directions"]] for n in names}
    write_json(folder / "curves.json", curves)


def make_job(path, command="linear", *, latents=True, count=300, verdict=None):
    config = {"particles": "data/my <best> & only.star", "components": 8, "seed": 0}
    with JobFolder.start(path, command, config, {"particles": {"sha256": "c0ffee"}}) as job:
        write_table(path / "particles.parquet", make_particles(count, latents=latents))
        write_maps(path, latents=latents)
        write_curves(path, latents=latents)
        if latents:
            job.update(heterogeneity=verdict or VERDICT)
        job.decide("number of components", 8, "the half-sets agree on <eight> & no more")
    return path


@pytest.fixture(scope="session")
def make_report_job():
    return make_job


@pytest.fixture
def make_run(tmp_path):
    """A ``run`` folder with its steps."""

    def make():
        root = tmp_path / "run"
        names = ("inspect", "backproject", "linear")
        with JobFolder.start(root, "run", {"particles": "a.star", "seed": 0}, {}) as job:
            for name in names[1:]:
                make_job(root / name, name, latents=name == "linear")
            with JobFolder.start(root / "inspect", "inspect", {}, {}):
                checks = [
                    {"name": "poses", "value": 0.3, "verdict": "good", "sentence": "Poses fit."},
                    {"name": "sign", "value": -1, "verdict": "bad", "sentence": "Sign is wrong."},
                ]
                write_json(root / "inspect" / "inspect.json", {"checks": checks})
            job.update(stages={name: name for name in names}, main="linear")
        return root

    return make
