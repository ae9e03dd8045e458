"""Programs that the benchmark runs: methods of ours, cryoDRGN, and what the user names."""

import shutil
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryosway._errors import CryoswayError
from cryosway.engine import Cost, read_json, run_measured, write_json
from cryosway.jobs import open_job
from cryosway.methods._bench.truth_set import TruthSet
from cryosway.methods._cryodrgn.export import write_poses_and_ctf
from cryosway.methods._cryodrgn.import_job import import_cryodrgn
from cryosway.particles import Particles, read_particles

Options = dict[str, str]

_CRYODRGN_EPOCHS = "20"


@dataclass(frozen=True)
class Program(ABC):
    """Something that is run on a set, in a process of its own.

    Attributes
    ----------
    name
        Of its folder and in tables.
    options
        Its options as on its command line, without dashes.
    """

    name: str
    options: Options = field(default_factory=dict)

    @abstractmethod
    def run(self, truth: TruthSet, folder: Path, threads: int | None) -> Path:
        """Run it, or find it done: the folder to score. Writes run.json.

        Raises
        ------
        CryoswayError
            If it fails, with the end of its log.
        """

    def is_done(self, folder: Path) -> bool:
        """Tell whether it has run in a folder.

        Raises
        ------
        CryoswayError
            If it has, with other options.
        """
        path = folder / "run.json"
        if not path.exists():
            return False
        earlier = read_json(path).get("options")
        if earlier != self.options:
            msg = (
                f"{folder} was run with other options ({earlier}, not {self.options}); choose "
                "another --out, or delete that folder"
            )
            raise CryoswayError(msg)
        return True

    def note_cost(self, folder: Path, cost: Cost | None, **more: Any) -> None:
        """Write run.json: options and cost, which is not known of a run that was stopped."""
        spent = asdict(cost) if cost else {}
        write_json(folder / "run.json", {"options": self.options, **spent, **more})

    def lacks(self, truth: TruthSet) -> str | None:
        """Say what the set lacks for this program, if anything."""
        return None if truth.particles is not None else "the set has no images"


def read_cost(folder: Path) -> dict[str, Any]:
    """Read run.json."""
    path = folder / "run.json"
    return dict(read_json(path)) if path.exists() else {}


@dataclass(frozen=True)
class OwnMethod(Program):
    """A method of ours.

    Attributes
    ----------
    method
        The command.
    model
        File of ``models/`` that it starts from.
    linear
        Name of the run of `linear` that it may start from, and whose cost it then bears, too.
    """

    method: str = "linear"
    model: str | None = None
    linear: str | None = None

    def lacks(self, truth: TruthSet) -> str | None:
        """Of `structural`, a model."""
        if self.model is not None and not (truth.path / "models" / self.model).exists():
            return f"the set has no models/{self.model}"
        return super().lacks(truth)

    def run(self, truth: TruthSet, folder: Path, threads: int | None) -> Path:
        """Run the command; it resumes by itself."""
        out, log = folder / "job", folder / "job.log"
        if self.is_done(folder):
            return out
        linear = None if self.linear is None else folder.parent / self.linear
        cost: Cost | None = run_measured(self._make_command(truth, out, linear, threads), log)
        if open_job(out).info.get("attempts", 1) > 1:
            cost = None  # of the last attempt alone
        before = {} if linear is None else read_cost(linear)
        self.note_cost(folder, cost, linear_cpu_s=before.get("cpu_s"))
        return out

    def _make_command(
        self, truth: TruthSet, out: Path, linear: Path | None, threads: int | None
    ) -> list[str]:
        assert truth.particles is not None
        command = [sys.executable, "-m", "cryosway.cli", self.method, str(truth.particles)]
        options = dict(self.options)
        if truth.poses is not None and truth.ctf_file is not None:
            options |= {"poses": str(truth.poses), "ctf": str(truth.ctf_file)}
        if self.model is not None:
            options["model"] = str(truth.path / "models" / self.model)
        if linear is not None:
            options.setdefault("linear", str(linear / "job"))
        if threads is not None:
            options["threads"] = str(threads)
        options["out"] = str(out)
        return [*command, *(part for pair in options.items() for part in _write_option(*pair))]


def _write_option(name: str, value: str) -> tuple[str, ...]:
    """Write an option as on our command line; true and false are switches."""
    dashed = name.replace("_", "-")
    switches = {"true": f"--{dashed}", "false": f"--no-{dashed}"}
    found = switches.get(value.lower())
    return (found,) if found else (f"--{dashed}", value)


@dataclass(frozen=True)
class CryodrgnTraining(Program):
    """``cryodrgn train_vae`` in an environment of its own, opened by `import_cryodrgn`.

    Attributes
    ----------
    environment
        Its folder.
    """

    environment: Path = Path()

    def run(self, truth: TruthSet, folder: Path, threads: int | None) -> Path:
        """Train, from the last epoch where it was stopped; import."""
        out, training = folder / "job", folder / "training"
        if not self.is_done(folder):
            command, resumed = self._make_command(truth, folder, training)
            cost = run_measured(command, folder / "training.log", threads)
            self.note_cost(folder, None if resumed else cost)
        import_cryodrgn(training, out)
        return out

    def _make_command(
        self, truth: TruthSet, folder: Path, training: Path
    ) -> tuple[list[str], bool]:
        program = self.environment / "bin" / "cryodrgn"
        if not program.exists():
            msg = f"{program} does not exist; give --cryodrgn the environment that has cryoDRGN"
            raise CryoswayError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        poses, ctf = truth.poses, truth.ctf_file
        if poses is None or ctf is None:
            write_poses_and_ctf(folder, _read(truth))
            poses, ctf = folder / "poses.pkl", folder / "ctf.pkl"
        options = {"num-epochs": _CRYODRGN_EPOCHS, "zdim": "8", **self.options}
        command = [str(program), "train_vae", str(_find_stack(truth)), "--poses", str(poses)]
        command += ["--ctf", str(ctf), "-o", str(training), "--no-analysis"]
        command += [part for name, value in options.items() for part in (f"--{name}", value)]
        resumed = any(training.glob("weights.*.pkl"))
        return [*command, *(["--load", "latest"] if resumed else [])], resumed


def _read(truth: TruthSet) -> Particles:
    assert truth.particles is not None
    return read_particles(truth.particles, poses=truth.poses, ctf=truth.ctf_file)


def _find_stack(truth: TruthSet) -> Path:
    """Find the images in the order of the set: cryoDRGN takes a stack or a list of stacks."""
    assert truth.particles is not None
    stack = truth.path / "particles.mrcs"
    return stack if stack.exists() else truth.particles


@dataclass(frozen=True)
class OtherProgram(Program):
    """A program that the user names: called with the set's folder, and one to fill.

    Attributes
    ----------
    program
        What to call.
    """

    program: Path = Path()

    def run(self, truth: TruthSet, folder: Path, threads: int | None) -> Path:
        """Call it; what it has done counts only when it ended well."""
        out = folder / "result"
        if not self.is_done(folder):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            command = [str(self.program), str(truth.path), str(out)]
            command += [part for pair in self.options.items() for part in _write_option(*pair)]
            self.note_cost(folder, run_measured(command, folder / "result.log", threads))
        return out
