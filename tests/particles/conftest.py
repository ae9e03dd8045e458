"""Small particle files of every kind, made on the spot."""

import pickle
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

OPTICS_LABELS = (
    "rlnOpticsGroup",
    "rlnOpticsGroupName",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImagePixelSize",
    "rlnImageSize",
    "rlnImageDimensionality",
)
PARTICLE_LABELS = (
    "rlnImageName",
    "rlnMicrographName",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnRandomSubset",
    "rlnOpticsGroup",
)


def format_loop(name, labels, rows, version="30001"):
    head = (
        f"\n# version {version}\n\ndata_{name}\n\nloop_\n"
        if version
        else f"\ndata_{name}\n\nloop_\n"
    )
    tags = "".join(f"_{label} #{i}\n" for i, label in enumerate(labels, 1))
    return head + tags + "".join(" ".join(map(str, row)) + "\n" for row in rows) + "\n"


class Maker:
    """Writes files into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(7)

    def stack(self, name="s.mrcs", count=6, box=8, pixel_size=1.5, dtype=np.float32, images=None):
        if images is None:
            images = self.rng.normal(size=(count, box, box)) * 20
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(np.asarray(images).astype(dtype))
            file.set_image_stack()
            file.voxel_size = pixel_size
        return np.asarray(images).astype(dtype).astype(np.float32)

    def optics(self, group=1, box=8, pixel_size=1.5, voltage=300.0, cs=2.7, w=0.1):
        return (group, f"opticsGroup{group}", voltage, cs, w, pixel_size, box, 2)

    def rows(self, count=6, name="s.mrcs", group=1):
        angles = self.rng.uniform(-170, 170, (count, 3)).round(6)
        angles[:, 1] = np.abs(angles[:, 1])
        shifts = self.rng.normal(0, 4, (count, 2)).round(6)
        defocus = self.rng.uniform(8000, 20000, (count, 2)).round(3)
        azimuth = self.rng.uniform(0, 180, count).round(4)
        return [
            (
                f"{i + 1:06d}@{name}",
                "001",
                *angles[i],
                *shifts[i],
                *defocus[i],
                azimuth[i],
                0.0,
                i % 2 + 1,
                group,
            )
            for i in range(count)
        ]

    def star(self, name="p.star", optics=None, rows=None, labels=PARTICLE_LABELS, extra=""):
        optics = [self.optics()] if optics is None else optics
        rows = self.rows() if rows is None else rows
        text = extra + format_loop("optics", OPTICS_LABELS, optics)
        path = self.folder / name
        path.write_text(text + format_loop("particles", labels, rows))
        return path

    def star30(self, name="p30.star", count=4, drop=(), **replaced):
        """A RELION 3.0 file: one table, shifts in pixels, pixel size from the magnification."""
        self.stack("s30.mrcs", count)
        columns = {
            "rlnImageName": [f"{i + 1:06d}@s30.mrcs" for i in range(count)],
            "rlnAngleRot": [10.0 * i for i in range(count)],
            "rlnAngleTilt": [20.0 + i for i in range(count)],
            "rlnAnglePsi": [-30.0 * i for i in range(count)],
            "rlnOriginX": [1.0, -2.0, 0.5, 0.0][:count],
            "rlnOriginY": [0.0, 1.5, -0.5, 2.0][:count],
            "rlnDefocusU": [15686.0] * count,
            "rlnDefocusV": [17521.4] * count,
            "rlnDefocusAngle": [87.62907] * count,
            "rlnVoltage": [300.0] * count,
            "rlnSphericalAberration": [2.7] * count,
            "rlnAmplitudeContrast": [0.07] * count,
            "rlnDetectorPixelSize": [5.0] * count,
            "rlnMagnification": [40000.0] * count,
            **replaced,
        }
        columns = {label: values for label, values in columns.items() if label not in drop}
        path = self.folder / name
        rows = list(zip(*columns.values(), strict=True))
        path.write_text(format_loop("images", tuple(columns), rows, version=None))
        return path

    def cs(self, name="particles.cs", count=6, stack="s.mrcs", drop=(), **replaced):
        """A cryoSPARC data set with blob, ctf and alignments3D fields."""
        rng = self.rng
        fields = {
            "uid": rng.integers(1, 2**63, count, dtype=np.uint64),
            "blob/path": np.full(count, f">{stack}".encode()),
            "blob/idx": np.arange(count, dtype=np.uint32),
            "blob/shape": np.full((count, 2), 8, np.uint32),
            "blob/psize_A": np.full(count, 1.5, np.float32),
            "blob/sign": np.full(count, -1, np.float32),
            "ctf/exp_group_id": np.full(count, 41, np.uint32),
            "ctf/accel_kv": np.full(count, 300, np.float32),
            "ctf/cs_mm": np.full(count, 2.7, np.float32),
            "ctf/amp_contrast": np.full(count, 0.1, np.float32),
            "ctf/df1_A": rng.uniform(8000, 20000, count).astype(np.float32),
            "ctf/df2_A": rng.uniform(8000, 20000, count).astype(np.float32),
            "ctf/df_angle_rad": rng.uniform(0, 3, count).astype(np.float32),
            "ctf/phase_shift_rad": np.full(count, 0.25, np.float32),
            "ctf/scale": np.ones(count, np.float32),
            "ctf/tilt_A": np.zeros((count, 2), np.float32),
            "ctf/bfactor": np.zeros(count, np.float32),
            "alignments3D/split": (np.arange(count) % 2).astype(np.uint32),
            "alignments3D/shift": rng.normal(0, 2, (count, 2)).astype(np.float32),
            "alignments3D/pose": rng.normal(0, 1, (count, 3)).astype(np.float32),
            "alignments3D/psize_A": np.full(count, 1.5, np.float32),
            "alignments3D/error": rng.normal(0, 1, count).astype(np.float32),
            **replaced,
        }
        fields = {n: v for n, v in fields.items() if not n.startswith(tuple(drop) or "\0")}
        return self.table(name, fields)

    def table(self, name, fields):
        arrays = {key: np.asarray(value) for key, value in fields.items()}
        count = len(next(iter(arrays.values())))
        dtype = [(key, value.dtype, value.shape[1:]) for key, value in arrays.items()]
        table = np.zeros(count, dtype)
        for key, value in arrays.items():
            table[key] = value
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, table)
        return path

    def pickle(self, name, content):
        path = self.folder / name
        path.write_bytes(pickle.dumps(content))
        return path


@pytest.fixture
def make(tmp_path):
    return Maker(tmp_path)


@pytest.fixture
def random_rotations():
    return lambda count: Rotation.random(count, rng=np.random.default_rng(3)).as_matrix()


@pytest.fixture
def trpv1():
    return Path(__file__).parents[1] / "data" / "trpv1" / "trpv1_small_stack.star"
