"""cryoDRGN's files from a job, in its own formats: pickles of arrays, YAML, weights of PyTorch."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import read_json, write_atomically
from cryosway.jobs import Job
from cryosway.particles import Particles, write_array_series

if TYPE_CHECKING:
    from cryosway.methods._cryodrgn.model import CryodrgnModel

Rows = npt.NDArray[np.int64]

_EPOCH = 1
_CTF = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
)


def write_cryodrgn(folder: Path, job: Job, particles: Particles, rows: Rows) -> None:
    """Write everything that cryoDRGN reads of a job.

    Parameters
    ----------
    folder : Path
        Where to.
    job : Job
        Gives latents and decoder.
    particles : Particles
        The chosen ones, n of them.
    rows : numpy.ndarray
        Shape (n,): their rows in the job.
    """
    _require_one_size(particles)
    particles.write(folder / "particles.star", absolute_paths=True)
    write_poses_and_ctf(folder, particles)
    write_array_series(folder / "ind.pkl", job.particles["index"].to_numpy(np.int64)[rows])
    latents = job.latents[rows].astype(np.float32)
    if latents.shape[1]:
        sd = job.latent_sd
        tables = [latents] if sd is None else [latents, 2 * np.log(sd[rows]).astype(np.float32)]
        for name in ("z", f"z.{_EPOCH}"):
            write_array_series(folder / f"{name}.pkl", *tables)
    model = _write_model(folder, job, particles) if latents.shape[1] else False
    _write_commands(folder, job, particles, model=model)


def write_poses_and_ctf(folder: Path, particles: Particles) -> None:
    """Write ``poses.pkl``, and where the CTF is known ``ctf.pkl``, as cryoDRGN reads them."""
    edges = particles.box * particles.ctf["pixel_size"].to_numpy()  # Å
    write_array_series(
        folder / "poses.pkl", (particles.rotations, particles.shifts / edges[:, None])
    )
    if particles.has_ctf:
        write_array_series(folder / "ctf.pkl", _make_ctf(particles))


def _require_one_size(particles: Particles) -> None:
    sizes = particles.pixel_size
    if isinstance(sizes, dict):
        message = (
            f"cryoDRGN takes one pixel size, but there are {len(sizes)} in the selection; bring "
            "the images to one with cryosway prepare"
        )
        raise CryoswayError(message)
    if particles.aberrations:
        message = f"cryoDRGN does not know {', '.join(particles.aberrations)}; they are left out"
        warnings.warn(message, CryoswayWarning, stacklevel=4)


def _make_ctf(particles: Particles) -> npt.NDArray[np.float32]:
    """Give cryoDRGN's table: box, Å per pixel, and the parameters of each particle."""
    table = particles.ctf
    size = np.full(len(table), particles.box, np.float64)
    columns = [size, table["pixel_size"].to_numpy(), *(table[name].to_numpy() for name in _CTF)]
    return np.stack(columns, axis=1).astype(np.float32)


def _write_model(folder: Path, job: Job, particles: Particles) -> bool:
    """Write weights and settings, if the decoder is one that cryoDRGN can hold."""
    from cryosway.methods._cryodrgn.model import CryodrgnModel, is_cryodrgn

    if not is_cryodrgn(job):
        message = (
            f"cryoDRGN cannot hold the decoder of a {job.info.get('command')} job; particles and "
            "latents were written (train_dec --load-z z.pkl starts from these)"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=5)
        return False
    model = CryodrgnModel.load(job.path)
    if model.support == "ball without axis":
        warnings.warn(
            "cryoDRGN's train_dec cannot hold the decoder of abinit; weights were left out",
            CryoswayWarning,
            stacklevel=5,
        )
        return False
    if particles.box != model.box:
        message = (
            f"the decoder has a box of {model.box} px and the images {particles.box} px; weights "
            "were left out"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=5)
        return False
    _save_weights(folder, model)
    _save_settings(folder, model, read_json(job.path / "model.json"))
    return True


def _save_weights(folder: Path, model: "CryodrgnModel") -> None:
    import torch

    content = {
        "norm": [model.offset, model.scale],
        "epoch": _EPOCH,
        "model_state_dict": model.to_cryodrgn(),
        "optimizer_state_dict": {},
    }
    for name in ("weights.pkl", f"weights.{_EPOCH}.pkl"):
        with write_atomically(folder / name) as temporary:
            torch.save(content, temporary)


def _save_settings(folder: Path, model: "CryodrgnModel", facts: Mapping[str, Any]) -> None:
    """Write config.yaml as ``cryodrgn train_dec`` does, whose networks are decoder only."""
    import yaml

    spec, place = model.field.spec, folder.resolve()
    settings = {
        "cmd": ["cryodrgn", "train_dec", "particles.star"],
        "dataset_args": {
            "particles": str(place / "particles.star"),
            "poses": str(place / "poses.pkl"),
            "ctf": str(place / "ctf.pkl") if (folder / "ctf.pkl").exists() else None,
            "datadir": None,
            "do_pose_sgd": False,
            "ind": None,
            "invert_data": facts.get("invert_data", True),
            "norm": [model.offset, model.scale],
            "window": True,
            "window_r": 0.85,
        },
        "lattice_args": {"D": model.box + 1, "extent": model.extent, "ignore_DC": True},
        "model_args": {
            "activation": "relu",
            "dim": spec.width,
            "domain": spec.domain,
            "feat_sigma": spec.feature_sigma,
            "layers": spec.layers,
            "pe_dim": spec.encoding_dim,
            "pe_type": spec.encoding,
            "zdim": spec.latent_dim,
        },
        "seed": 0,
        "version": "4.3.1",
    }
    with write_atomically(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with write_atomically(folder / "run.log") as temporary:  # cryodrgn analyze wants one
        temporary.write_text("exported by cryosway\n", encoding="utf-8")


def _write_commands(folder: Path, job: Job, particles: Particles, *, model: bool) -> None:
    """Say how to go on in cryoDRGN."""
    dark = particles.contrast_sign == -1
    if "sign" in job.particles:
        dark = bool((job.particles["sign"] < 0).mean() > 0.5)
    ctf = " --ctf ctf.pkl" if particles.has_ctf else ""
    options = f"particles.star --poses poses.pkl{ctf}{' --uninvert-data' if dark else ''}"
    dimensions = job.latents.shape[1] or 8
    lines = [f"cryodrgn train_vae {options} --zdim {dimensions} -o train_vae"]
    if job.latents.shape[1]:
        lines.append(
            f"cryodrgn train_dec {options} --zdim {dimensions} --load-z z.pkl -o train_dec"
        )
    if model:
        lines.append(f"cryodrgn analyze . {_EPOCH}")
    text = "\n".join(lines) + "\n"
    with write_atomically(folder / "commands.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")
