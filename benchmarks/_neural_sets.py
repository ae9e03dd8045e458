"""The data sets of the neural benchmarks, and the truth that latents are judged by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _datasets import build_adk, build_assembly, build_hinge
from _scoring import FloatArray, IntArray, load_volumes

import cryosway as cs
from cryosway.simulate import SimulatedSet
from cryosway.validate import MapScorer, judge_latents, make_union_mask, standardise

BUILDERS: dict[str, Callable[..., SimulatedSet]] = {
    "adk_0.1": partial(build_adk, snr=0.1),
    "adk_0.03": partial(build_adk, snr=0.03),
    "adk_0.01": partial(build_adk, snr=0.01),
    "assembly": build_assembly,
    "hinge": build_hinge,
    # As much information in 3,000 images as 100,000 have at an SNR of about 0.01.
    "assembly_0.5": partial(build_assembly, snr=0.5),
    "hinge_0.5": partial(build_hinge, snr=0.5),
}
_NOT_LATENT = ("state", "name", "share", "angle")  # columns of states.csv


@dataclass(frozen=True)
class NeuralSet:
    """A simulated set with its truth.

    Attributes
    ----------
    name
        Key of `BUILDERS`.
    made
        The files.
    states
        Shape (N,): true state of every image.
    truth
        Shape (N, k): true latent of every image: a coordinate, a point on the circle, or which
        blocks are there.
    """

    name: str
    made: SimulatedSet
    states: IntArray
    truth: FloatArray

    @classmethod
    def build(cls, name: str, cache: Path, n: int, data: Path | None) -> "NeuralSet":
        """Simulate a set, or find it in the cache."""
        made = BUILDERS[name](cache, n=n, data=data)
        table = made.truth()
        states = table["state"].to_numpy(np.int64)
        path = made.path / "states.csv"
        if path.exists():
            listed = pd.read_csv(path).drop(columns=list(_NOT_LATENT), errors="ignore")
            return cls(name, made, states, listed.to_numpy(np.float64)[states])
        return cls(name, made, states, table[["coordinate"]].to_numpy(np.float64))

    def scorer(self) -> MapScorer:
        """Scores maps against the true states, within their union and without a mask."""
        volumes = load_volumes(self.made.volumes)
        pixel_size = cs.read_particles(self.made.particles).pixel_size
        return MapScorer(volumes, make_union_mask(volumes, float(pixel_size)))  # type: ignore[arg-type]

    def judge_latents(self, latents: FloatArray) -> dict[str, Any]:
        """What latents know of state, pose and CTF; see `judge_latents`."""
        particles = cs.read_particles(self.made.particles)
        rotations = particles.rotations.reshape(len(particles), 9)
        ctf = standardise(particles.ctf[["defocus_u", "defocus_v", "defocus_angle"]])
        return judge_latents(latents, self.truth, rotations, ctf)

    def judge_perfect_latents(self) -> dict[str, Any]:
        """Scores of latents that are the truth, with a little noise to tell equal ones apart."""
        noise = np.random.default_rng(0).normal(size=self.truth.shape)
        spacing = self.truth.std(0).max() / len(np.unique(self.states))
        return self.judge_latents(self.truth + 1e-3 * spacing * noise)
