"""What all tests share: one thread, no display, no colour, and a molecule known in closed form."""

import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest

# Before anything imports NumPy or PyTorch: tests run side by side and must not fight for cores.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["NO_COLOR"] = "1"
os.environ.pop("FORCE_COLOR", None)
# A shell that starts the tests in the background has them ignore Ctrl-C, their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _work_elsewhere(tmp_path_factory, monkeypatch):
    """Run every test in a folder of its own, so that nothing is written into the repository."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture(scope="session")
def make_validation():
    """Write the folder of a validation of a job that has found this verdict."""
    from cryosway.engine import JobFolder, write_json

    def make(job, folder, verdict, p_values=(), **changes):
        named = ("variance_explained", "noise_alone", "p_value")
        directions = [dict(zip(named, (0.1, 0.01, p), strict=True)) for p in p_values]
        with JobFolder.start(folder, "validate", {}, {}) as validation:
            summary = {"job": str(job.resolve()), "parts": {}}
            write_json(folder / "validation.json", summary)
            write_json(folder / "supplement.json", {"title": "Validation"})
            found = {"verdict": verdict, "directions": directions} if verdict else None
            validation.update(heterogeneity=found, **changes)
        return folder

    return make


@dataclass(frozen=True)
class Phantom:
    """Gaussian balls: density and central slices are formulas, with no grid of ours between.

    V(x) = Σ w exp(−|x − c|² / 2σ²), with the transform
    (2πσ²)^{3/2} exp(−2π²σ²s²) Σ w exp(−2πi s·c).
    Centres (J, 3) in Å about the origin, σ in Å.
    """

    centres: np.ndarray
    weights: np.ndarray
    sigma: float

    def volume(self, box, pixel_size):
        """Sample the density at the voxels, shape (D, D, D), float32, axes (z, y, x)."""
        x = (np.arange(box) - box // 2) * pixel_size
        waves = np.exp(-((x[:, None, None] - self.centres) ** 2) / (2 * self.sigma**2))
        along_x, along_y, along_z = np.moveaxis(waves, -1, 0)
        return np.einsum(
            "zj,yj,xj,j->zyx", along_z, along_y, along_x, self.weights, optimize=True
        ).astype(np.float32)

    def slices(self, rotations, frequencies, pixel_size):
        """Return the DFT of projections (N, P), at frequencies (P, 2) in cycles/pixel."""
        s = np.asarray(frequencies, np.float64) / pixel_size
        seen = np.einsum("nab,jb->nja", np.asarray(rotations)[:, :2], self.centres)
        profile = (2 * np.pi * self.sigma**2) ** 1.5 * np.exp(
            -2 * np.pi**2 * self.sigma**2 * (s**2).sum(-1)
        )
        phases = [(self.weights @ np.exp(-2j * np.pi * (xy @ s.T))) for xy in seen]
        return np.stack(phases) * profile / pixel_size**3

    def __sub__(self, other):
        return Phantom(
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.weights, -other.weights]),
            self.sigma,
        )


@pytest.fixture(scope="session")
def make_phantom():
    """Make a molecule of balls at random within a radius; all lengths in Å."""

    def make(balls=30, radius=27.0, sigma=3.3, seed=0, offset=(0.0, 0.0, 0.0)):
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(balls, 3))
        centres *= (
            radius
            * rng.random((balls, 1)) ** (1 / 3)
            / np.linalg.norm(centres, axis=1, keepdims=True)
        )
        return Phantom(centres + np.asarray(offset), rng.uniform(0.5, 1.5, balls), sigma)

    return make


@pytest.fixture(scope="session")
def write_language_checkpoint():
    """Write a small ESM-2 with random weights in the layout of the published checkpoints.

    The old layout has rotary frequencies in each layer, tables that nothing uses any more, and no
    copy of the tied decoder.
    """

    def write(folder, *, layers=2, width=32, heads=4, old_names=False, seed=0, leave_out=()):
        import json

        import torch
        from safetensors.torch import save_file

        from cryosway.protein._checkpoint import quiet_transformers
        from cryosway.protein.language import Size, build_config

        config = {**build_config(Size(layers, width, heads), 1024), "initializer_range": 0.3}
        with quiet_transformers(), torch.random.fork_rng():
            from transformers import EsmConfig, EsmForMaskedLM

            torch.manual_seed(seed)
            network = EsmForMaskedLM(EsmConfig(**config))
        tensors = {name: x.detach().clone() for name, x in network.state_dict().items()}
        if old_names:
            del tensors["lm_head.decoder.weight"]
            frequencies = tensors.pop("esm.rotary_embeddings.inv_freq")
            for layer in range(layers):
                name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
                tensors[name] = frequencies.clone()
            tensors["esm.embeddings.position_ids"] = torch.arange(1026)[None]
            tensors["esm.embeddings.position_embeddings.weight"] = torch.zeros(1026, width)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        kept = {name: x for name, x in tensors.items() if name not in leave_out}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return write


@pytest.fixture(scope="session")
def language_checkpoint(write_language_checkpoint, tmp_path_factory):
    """A small ESM-2 checkpoint."""
    return write_language_checkpoint(tmp_path_factory.mktemp("esm") / "esm2_tiny")
