"""The consensus that fits start from: found once, kept in a checkpoint, written to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_json
from cryosway.inference import Consensus, ImageSource, NoiseModel, fit_consensus
from cryosway.methods._job_files import VolumeIndex, fsc_entry, write_curves
from cryosway.methods._shared_choices import load_mask
from cryosway.particles import Particles
from cryosway.validate import local_resolution

# curve of `corrected_fsc` → its label in curves.json
_FSC_LABELS = {
    "unmasked": "unmasked",
    "masked": "masked",
    "randomised": "masked, phases randomised",
    "corrected": "masked, corrected",
}


def find_consensus(
    job: JobFolder, source: ImageSource, half: Tensor, mask: str | Path
) -> Consensus:
    """Fit the consensus of the images, or take it from the job's checkpoint.

    Parameters
    ----------
    job
        Holds the checkpoint ``consensus``.
    source
        The images, at full resolution.
    half
        Shape (N,), 0 or 1.
    mask
        The option of that name.
    """
    kept = job.load_checkpoint("consensus")
    if kept is not None:
        return _unpack(*kept)
    given = load_mask(mask, source.particles.box, source.pixel_size)
    consensus = fit_consensus(source, half, mask=given)
    job.save_checkpoint("consensus", *_pack(consensus))
    return consensus


def write_mean(
    index: VolumeIndex, consensus: Consensus, n_effective: float, prefix: str = "mean_"
) -> None:
    """Write the consensus map and its half-maps, whose names begin with `prefix`."""
    halves = index.write_half_maps(prefix, consensus.half_maps, "consensus")
    index.write(
        "mean", consensus.mean, "mean", "consensus",
        resolution=consensus.resolution,
        n_effective=n_effective,
        half_maps=halves,
    )  # fmt: skip


def write_local_resolution(index: VolumeIndex, consensus: Consensus) -> None:
    """Write the resolution around every voxel of the consensus, from its half-maps."""
    first, second = (half.numpy() for half in consensus.half_maps)
    local = local_resolution(first, second, index.pixel_size)
    index.write("local_resolution", local, "local_resolution", "local resolution, Å")


def write_consensus_curves(
    job: JobFolder, consensus: Consensus, particles: Particles, pixel_size: float
) -> None:
    """Write the FSC of mean.mrc and the spectra of the noise to curves.json.

    Parameters
    ----------
    particles
        From which it was made.
    pixel_size
        Å per voxel of the map.
    """
    write_curves(
        job,
        fsc=_fsc_entries(consensus.curves, pixel_size, "mean.mrc"),
        noise=_noise_entries(consensus.noise, particles),
    )


def read_noise(folder: Path, box: int) -> NoiseModel:
    """Read the noise of a job's images, of `box` px, from its curves.json.

    Raises
    ------
    CryoswayError
        When the job has none.
    """
    path = folder / "curves.json"
    spectra = read_json(path).get("noise") if path.exists() else None
    if not spectra:
        message = f"{folder} holds no noise spectra in curves.json: give its command again"
        raise CryoswayError(message)
    power = np.array([entry["power"] for entry in spectra], np.float64)
    return NoiseModel(power * box**2)


def _fsc_entries(
    curves: Mapping[str, npt.ArrayLike], pixel_size: float, volume: str
) -> list[dict[str, Any]]:
    """Give the ``fsc`` entries of curves.json, the final curve first.

    Those of `corrected_fsc`: unmasked, masked, randomised, corrected; each shape (D // 2,).
    """
    entries = []
    for name in ("corrected", "masked", "unmasked", "randomised"):
        if name not in curves:
            continue
        value = np.asarray(curves[name], np.float64)
        entry = fsc_entry(_FSC_LABELS[name], volume, value, pixel_size)
        entries.append(entry if name != "randomised" else entry | {"resolution_angstrom": None})
    return entries


def _noise_entries(noise: NoiseModel, particles: Particles) -> list[dict[str, Any]]:
    """Give the ``noise`` entries of curves.json: one spectrum per optics group.

    The unit is the variance per pixel of images with white noise of that power.
    """
    box = particles.box
    sizes = particles.ctf.groupby("optics_group")["pixel_size"].mean()
    entries = []
    for group, size, power in zip(sizes.index, sizes, noise.power / box**2, strict=True):
        frequency = np.arange(len(power)) / (box * size)
        entries.append(
            {"optics_group": int(group), "frequency_per_angstrom": frequency, "power": power}
        )
    return entries


def _pack(consensus: Consensus) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pack a consensus into tensors and plain values."""
    tensors = {
        "mean": consensus.mean,
        "unmasked": consensus.unmasked,
        "half_0": consensus.half_maps[0],
        "half_1": consensus.half_maps[1],
        "mask": consensus.mask,
        "signal_power": consensus.signal_power,
        "noise": consensus.noise.power,
        **{f"fsc_{name}": curve for name, curve in consensus.curves.items()},
    }
    contiguous = {
        name: value.contiguous() if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }
    return contiguous, {"resolution": consensus.resolution}


def _unpack(tensors: dict[str, Any], meta: dict[str, Any]) -> Consensus:
    """Unpack `_pack`."""

    def tensor(name: str) -> Tensor:
        return torch.as_tensor(tensors[name])

    return Consensus(
        mean=tensor("mean"),
        unmasked=tensor("unmasked"),
        half_maps=(tensor("half_0"), tensor("half_1")),
        mask=tensor("mask"),
        curves={k[4:]: np.asarray(v) for k, v in tensors.items() if k.startswith("fsc_")},
        resolution=float(meta["resolution"]),
        signal_power=tensor("signal_power"),
        noise=NoiseModel(np.asarray(tensors["noise"])),
    )
