"""Maps at points of latent space, written once and found again."""

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway.engine import Progress, read_json, write_json
from cryosway.jobs import Job, MissingResultError
from cryosway.particles import read_map, write_map
from cryosway.validate import fsc_resolution

FloatArray = NDArray[np.floating]
Origin = tuple[float, float, float]


@dataclass(frozen=True)
class MapRequest:
    """A map that is wanted.

    Attributes
    ----------
    name : str
        File name without ``.mrc``.
    kind : str
        ``cluster``, ``path`` or ``state``.
    label : str
        What a reader calls it.
    latent : ndarray, shape (K,)
        Where.
    support : float
        Particles that support the point.
    extra : dict
        Further fields of its entry in ``volumes.json``.
    """

    name: str
    kind: str
    label: str
    latent: FloatArray
    support: float
    extra: dict[str, Any]


def write_maps(
    job: Job,
    folder: Path,
    requests: Sequence[MapRequest],
    kinds: Collection[str] = ("cluster", "path"),
) -> list[dict[str, Any]]:
    """Write the maps of all requests with their half-maps; skip those that stand.

    All come from ``job.volume(z)`` on one scale and in one frame, that of the poses. Earlier maps
    of these kinds that are no longer wanted are removed with their files.

    Parameters
    ----------
    job : Job
        Gives maps, half-maps and FSC at a latent.
    folder : Path
        Maps go to its ``volumes/``; of the job, or another.
    requests : sequence of MapRequest
        What is wanted.
    kinds : collection of str
        Kinds of maps that are complete with these requests.

    Returns
    -------
    list of dict
        The entries of ``volumes.json`` that belong to the requests.
    """
    volumes = folder / "volumes"
    volumes.mkdir(exist_ok=True)
    model = fingerprint_model(job.main.path)
    keys = [_fingerprint(request, model) for request in requests]
    entries = _drop_unwanted(volumes, set(keys), kinds)
    standing = {entry["fingerprint"]: entry for entry in entries if "fingerprint" in entry}
    origin = _find_origin(job)
    done = sum(key in standing for key in keys)
    made = []
    with Progress(len(requests), "maps along the landscape", done=done) as progress:
        for request, key in zip(requests, keys, strict=True):
            if key not in standing:
                entry = {**_write_map(job, volumes, request, origin), "fingerprint": key}
                entries = [*(old for old in entries if old["file"] != entry["file"]), entry]
                write_json(volumes / "volumes.json", {"volumes": entries})
                progress.advance()
                standing[key] = entry
            made.append(standing[key])
    return made


def _write_map(
    job: Job, volumes: Path, request: MapRequest, origin: Origin | None
) -> dict[str, Any]:
    half_maps = _ask(job.half_maps, request.latent)
    halves = []
    for number, half in enumerate(half_maps or (), start=1):
        halves.append(f"{request.name}_half{number}.mrc")
        write_map(volumes / halves[-1], half, job.pixel_size, origin)
    write_map(volumes / f"{request.name}.mrc", job.volume(request.latent), job.pixel_size, origin)
    curve = _ask(job.fsc, request.latent)
    behind = _ask(job.n_effective, request.latent)
    return {
        "file": f"{request.name}.mrc",
        "kind": request.kind,
        "label": request.label,
        "z": request.latent.tolist(),
        "resolution_angstrom": None if curve is None else fsc_resolution(curve, job.pixel_size),
        "n_effective": round(request.support if behind is None else behind, 1),
        "half_maps": halves or None,
        "fsc": None if curve is None else np.round(np.asarray(curve, np.float64), 5).tolist(),
        **request.extra,
    }


def _ask(method: Any, latent: FloatArray) -> Any:
    """Call what only some methods have."""
    with suppress(MissingResultError):
        return method(latent)
    return None


def fingerprint_model(folder: Path) -> str:
    """Identify the model that makes the maps by its files and the job's request."""
    parts: list[Any] = []
    for name in ("model.safetensors", "model.json"):
        path = folder / name
        parts.append(
            (name, path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else name
        )
    info = read_json(folder / "job.json") if (folder / "job.json").exists() else {}
    parts += [info.get("config"), info.get("inputs"), info.get("created")]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _fingerprint(request: MapRequest, model: str) -> str:
    digest = hashlib.sha256(f"{model} {request.name} {request.label} {request.extra}".encode())
    digest.update(np.round(np.asarray(request.latent, np.float64), 9).tobytes())
    return digest.hexdigest()[:24]


def _drop_unwanted(
    volumes: Path, wanted: Collection[str], kinds: Collection[str]
) -> list[dict[str, Any]]:
    """Forget earlier clusters and traversals, and entries whose files are gone."""
    index = volumes / "volumes.json"
    entries: list[dict[str, Any]] = read_json(index)["volumes"] if index.exists() else []
    kept = []
    for entry in entries:
        files = [volumes / name for name in (entry["file"], *(entry.get("half_maps") or ()))]
        ours = "fingerprint" in entry and entry["kind"] in kinds
        if not ours or (entry["fingerprint"] in wanted and all(path.exists() for path in files)):
            kept.append(entry)
            continue
        for path in files:
            path.unlink(missing_ok=True)
    if len(kept) != len(entries):
        write_json(index, {"volumes": kept})
    return kept


def _find_origin(job: Job) -> Origin | None:
    """Take the origin of the consensus map, so that all maps overlay."""
    for entry in job.main.volumes:
        path = job.main.path / "volumes" / entry["file"]
        if entry["kind"] == "mean" and path.exists():
            return read_map(path)[1].origin
    return None
