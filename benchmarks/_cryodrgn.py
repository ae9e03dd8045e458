"""Run cryoDRGN's `train_vae` and `eval_vol` in their own environment, and note what they cost."""

import ctypes
import os
import pickle
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _scoring import Volume, load_volumes
from backproject_vs_cryodrgn import PEER_REQUIREMENTS, make_peer_environment

from cryosway.engine import read_json, run_measured, thread_limits, write_json
from cryosway.methods._cryodrgn.export import write_poses_and_ctf
from cryosway.particles import Particles

FloatArray = npt.NDArray[np.float64]

POLL_SECONDS = 0.5
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class PeerInput:
    """What cryoDRGN reads."""

    stack: Path
    poses: Path
    ctf: Path

    @classmethod
    def of_folder(cls, folder: Path) -> "PeerInput":
        """``particles.mrcs``, ``poses.pkl`` and ``ctf.pkl`` of a folder."""
        return cls(folder / "particles.mrcs", folder / "poses.pkl", folder / "ctf.pkl")

    @property
    def arguments(self) -> list[str]:
        """As on the command line."""
        return [str(self.stack), "--poses", str(self.poses), "--ctf", str(self.ctf)]


def require_peer(folder: Path | None, *, make: bool) -> None:
    """Make cryoDRGN's environment where it is missing, or say how to."""
    if folder is None:
        raise SystemExit("give the environment of cryoDRGN with --peer-env")
    if (folder / "bin/cryodrgn").exists():
        return
    if not make:
        raise SystemExit(f"no {PEER_REQUIREMENTS[-1]} in {folder}; add --make-peer-env")
    make_peer_environment(folder)


def write_peer_input(particles: Particles, stack: Path, folder: Path) -> PeerInput:
    """Write poses.pkl and ctf.pkl of particles that lie in one stack, in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    write_poses_and_ctf(folder, particles)
    return PeerInput(stack, folder / "poses.pkl", folder / "ctf.pkl")


def make_training_command(
    peer: Path, given: PeerInput, out: Path, options: dict[str, str | int]
) -> list[str]:
    """Command line of ``cryodrgn train_vae``; options as on it, without dashes."""
    command = [str(peer / "bin/cryodrgn"), "train_vae", *given.arguments, "-o", str(out)]
    return [
        *command,
        "--no-analysis",
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
    ]


# ---------------------------------------------------------------------------- long trainings


@dataclass(frozen=True)
class PeerTraining:
    """A training that can be stopped at any moment and gone on with by running it again.

    Attributes
    ----------
    peer
        Environment of cryoDRGN.
    given
        The data.
    out
        Output folder; ``epochs.json`` in it holds the CPU seconds at the end of every epoch,
        start-up included.
    options
        Of ``train_vae``, without those below.
    threads
        Of every numerical library.
    """

    peer: Path
    given: PeerInput
    out: Path
    options: dict[str, str | int]
    threads: int

    @property
    def seconds(self) -> dict[int, float]:
        """CPU seconds at the end of every finished epoch."""
        path = self.out / "epochs.json"
        found = read_json(path) if path.exists() else {}
        return {int(epoch): float(seconds) for epoch, seconds in found.items()}

    def run(self, epochs: int) -> None:
        """Train to the end of an epoch, from the last one that is there."""
        done = self.seconds
        if max(done, default=0) >= epochs:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        options = {**self.options, "num-epochs": epochs}
        command = make_training_command(self.peer, self.given, self.out, options)
        self._remove_unfinished(max(done, default=0))
        command += ["--load", "latest"] if done else []
        log = self.out / f"from_{max(done, default=0)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT,
                env=os.environ | thread_limits(self.threads) | {"CUDA_VISIBLE_DEVICES": ""},
                preexec_fn=_end_with_parent,
            )  # fmt: skip
            try:
                self._watch(process, done, epochs)
            finally:
                process.terminate()
                process.wait()
        if max(self.seconds, default=0) < epochs:
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")

    def _watch(
        self, process: "subprocess.Popen[bytes]", done: dict[int, float], epochs: int
    ) -> None:
        """Note the CPU time at the end of every epoch: when its latents are complete."""
        before = max(done.values(), default=0.0)
        spent = 0.0
        while True:
            ended = process.poll() is not None
            spent = max(spent, _read_cpu_seconds(process.pid))
            new = [e for e in range(1, epochs + 1) if e not in done and self._is_complete(e)]
            if new:
                done |= dict.fromkeys(new, before + spent)
                write_json(self.out / "epochs.json", {str(e): s for e, s in done.items()})
            if ended:
                return
            time.sleep(POLL_SECONDS)

    def _remove_unfinished(self, last: int) -> None:
        """Remove what a stopped run left of the epoch that it was in."""
        for path in self.out.glob("*.pkl"):
            number = re.fullmatch(r"(?:weights|z)\.(\d+)\.pkl", path.name)
            if number and int(number[1]) > last:
                path.unlink()

    def _is_complete(self, epoch: int) -> bool:
        try:
            self.latents(epoch)
        except (OSError, EOFError, pickle.UnpicklingError):
            return False
        return True

    def latents(self, epoch: int) -> FloatArray:
        """Posterior means (N, k) at the end of an epoch."""
        with (self.out / f"z.{epoch}.pkl").open("rb") as file:
            means, _ = pickle.load(file), pickle.load(file)  # noqa: S301 - written by our own run
        return np.asarray(means, np.float64)

    def evaluate(self, epoch: int, latents: FloatArray) -> list[Volume]:
        """Volumes at latents (n, k), made by ``cryodrgn eval_vol``; or those made before."""
        folder = self.out / f"volumes.{epoch}"
        folder.mkdir(exist_ok=True)
        values = folder / "z.txt"
        made = sorted(folder.glob("vol_*.mrc"))
        if len(made) == len(latents) and np.array_equal(np.loadtxt(values, ndmin=2), latents):
            return load_volumes(made)
        for path in made:
            path.unlink()
        np.savetxt(values, latents)
        weights = self.out / f"weights.{epoch}.pkl"
        command = [str(self.peer / "bin/cryodrgn"), "eval_vol", str(weights)]
        command += ["-c", str(self.out / "config.yaml"), "--zfile", str(values), "-o", str(folder)]
        run_measured(command, folder / "eval_vol.log", self.threads)
        return load_volumes(sorted(folder.glob("vol_*.mrc")))


def _end_with_parent() -> None:
    """Let the training end when the benchmark is killed; Linux only."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


def _read_cpu_seconds(process: int) -> float:
    """CPU seconds of a process with its ended children, 0 when it is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK
