"""The job folder while its command runs: one writer, a status, a log, checkpoints."""

import csv
import shutil
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, final

from cryosway._errors import CryoswayError
from cryosway.engine._atomic import clear_leftovers, write_atomically
from cryosway.engine._checkpoints import Tensors, load_tensors, read_header, save_tensors
from cryosway.engine._console import LOGGER
from cryosway.engine._files import read_json, write_json
from cryosway.engine._hardware import peak_device_memory_bytes, peak_memory_bytes
from cryosway.engine._interrupts import (
    TimeLimitError,
    hold_interrupts,
    terminate_as_exception,
)
from cryosway.engine._job_info import (
    FORMAT_NAME,
    FORMAT_VERSION,
    INFO_NAME,
    collect_versions,
    describe_difference,
    describe_origin,
    normalise_request,
    read_job_info,
)
from cryosway.engine._lock import LOCK_NAME, FolderLock
from cryosway.engine._os_errors import explain_os_errors
from cryosway.engine._progress import Progress, format_duration

_METRICS_ROWS = "metrics_rows"


@final
class JobFolder:
    """A folder that one command fills; made by `JobFolder.start`.

    Attributes
    ----------
    path : Path
        The folder.
    already_finished : bool
        True when the folder holds the finished result of the same request: nothing is to be done.
    resumed : bool
        True when an earlier, unfinished run of the same request is taken up.
    """

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.already_finished = info.get("status") == "finished"
        self.resumed = info.get("attempts", 1) > 1
        self._info = info
        self._began = time.monotonic()
        self._metrics_columns: list[str] = []
        self._metrics_rows = 0

    # -- life ----------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def start(
        cls,
        path: str | Path,
        command: str,
        config: object = None,
        inputs: object = None,
        *,
        sources: Mapping[str, Any] | None = None,
        resume: bool = True,
        overwrite: bool = False,
        keep: Collection[str] = (),
    ) -> Iterator["JobFolder"]:
        """Start, resume or find finished the job of a request, alone in its folder.

        The same folder with the same request resumes where it stopped, or is
        `already_finished`. Another request in a used folder is an error.

        Parameters
        ----------
        path : str or Path
            The folder, made if need be.
        command : str
            The command's name.
        config : Mapping or pydantic model
            The full resolved options; ``device``, ``threads``, ``gpus``, ``time_limit`` and
            ``image_memory`` may change on resumption.
        inputs : Mapping
            Fingerprints of what is read.
        sources : Mapping, optional
            Where that is: paths by name. They are noted, but may change on resumption.
        resume : bool, optional
            False empties the folder and starts again.
        overwrite : bool, optional
            True empties the folder first where it holds another request's job.
        keep : Collection[str], optional
            Names in the folder that ``overwrite`` leaves in place, as the jobs of single steps
            that are checked one by one.

        Yields
        ------
        JobFolder
            The folder with its lock held; on leaving the block the status becomes ``finished``,
            ``interrupted`` (SIGINT, SIGTERM, SIGHUP, `TimeLimitError`) or ``failed``.

        Raises
        ------
        CryoswayError
            When the folder is in use, holds something else, or cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> out = tempfile.mkdtemp()
        >>> with JobFolder.start(out, "count", {"to": 3}) as job, job.stage("counting"):
        ...     job.update(answer=3)
        >>> with JobFolder.start(out, "count", {"to": 3}) as job:
        ...     job.already_finished
        True
        """
        folder = Path(path)
        request = normalise_request(command, config, inputs)
        with explain_os_errors(folder):
            _make_folder(folder)
            with FolderLock(folder, reentrant=False):
                clear_leftovers(folder)
                info = _read_existing(folder, request, resume=resume, overwrite=overwrite)
                if info is None:
                    _empty_folder(folder, request[2], keep if resume else ())
                origin = describe_origin(config, sources)
                job = cls(folder, _start_info(info or _new_info(request), request, origin))
                if job.already_finished:
                    LOGGER.info("%s is finished already: nothing to do", folder)
                    yield job
                else:
                    with terminate_as_exception(), job._record_warnings():
                        yield from job._live()

    def _live(self) -> Iterator["JobFolder"]:
        """Write the status before, and whatever happens, after."""
        self._write_info()
        self._rewind_metrics()
        self.log(f"{'resumes' if self.resumed else 'starts'}: {self._info['command']}")
        status, error_text = "failed", None
        try:
            yield self
            status = "finished"
        except (KeyboardInterrupt, SystemExit, TimeLimitError):
            status = "interrupted"
            raise
        except BaseException as error:
            error_text = str(error) or type(error).__name__
            raise
        finally:
            with hold_interrupts():
                self._end(status, error_text, self.elapsed_s)

    def _end(self, status: str, error_text: str | None, seconds: float) -> None:
        timings = self._info["timings"]
        timings["total"] = timings.get("total", 0.0) + seconds
        memory = {"peak_memory_bytes": peak_memory_bytes()}
        if (device := peak_device_memory_bytes()) is not None:
            memory["peak_device_memory_bytes"] = device
        error = {"error": error_text} if error_text else {}
        try:
            self.update(status=status, **memory, **error)
            self.log(f"{status} after {format_duration(seconds)}")
        except OSError:
            if status == "finished":
                raise  # else the first error, on its way up, is the one to tell

    @property
    def elapsed_s(self) -> float:
        """Seconds since this attempt began."""
        return time.monotonic() - self._began

    # -- what a method tells -------------------------------------------------------------------

    def log(self, message: str) -> None:
        """Write a line to log.txt and to whoever listens (the command line does)."""
        self._write_log(message)
        LOGGER.info("%s", message)

    def update(self, **fields: Any) -> None:
        """Set fields of job.json."""
        self._info |= fields
        self._write_info()

    def decide(self, what: str, value: Any, why: str) -> None:
        """Note a decision in plain sentences in decisions.json; the report shows it.

        Parameters
        ----------
        what : str
            What was decided, as "number of components"; a second decision replaces the first.
        value : Any
            The choice.
        why : str
            The reason, a plain sentence.
        """
        path = self.path / "decisions.json"
        earlier = read_json(path) if path.exists() else []
        kept = [entry for entry in earlier if entry["what"] != what]
        write_json(path, [*kept, {"what": what, "value": value, "why": why}])

    def metrics(self, **row: Any) -> None:
        """Append a row to metrics.csv; new columns may come at any time."""
        path = self.path / "metrics.csv"
        new = [name for name in row if name not in self._metrics_columns]
        self._metrics_columns += new
        self._metrics_rows += 1
        if new:
            _write_csv(path, self._metrics_columns, [*_read_csv(path)[1], row])
            return
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._metrics_columns).writerow(row)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the work; the seconds of all attempts add up in ``timings``."""
        self.log(f"{name} ...")
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        timings = self._info["timings"]
        timings[name] = timings.get(name, 0.0) + seconds
        self.update(timings=timings)
        self.log(f"{name}: {format_duration(seconds)}")

    def progress(self, total: int, label: str, *, done: int = 0) -> Progress:
        """Count steps with the time that is left; ``done`` of them were done by an earlier run."""
        return Progress(total, label, done=done, write_log=self._write_log)

    # -- checkpoints ---------------------------------------------------------------------------

    def save_checkpoint(
        self, name: str, tensors: Tensors, meta: Mapping[str, Any] | None = None
    ) -> None:
        """Save the state of a stage, atomically; see `save_tensors`.

        Parameters
        ----------
        name : str
            Which checkpoint; an earlier one of the name is replaced.
        tensors : Mapping[str, ndarray or Tensor]
            The state.
        meta : Mapping[str, Any], optional
            Anything that JSON can hold, as the step's number.
        """
        path = self._checkpoint_path(name)
        path.parent.mkdir(exist_ok=True)
        save_tensors(path, tensors, {**(meta or {}), _METRICS_ROWS: self._metrics_rows})

    def load_checkpoint(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Load the state of a stage as it was saved, or None where there is none."""
        path = self._checkpoint_path(name)
        if not path.exists():
            return None
        tensors, meta = load_tensors(path)
        meta.pop(_METRICS_ROWS, None)
        return tensors, meta

    def delete_checkpoint(self, name: str) -> None:
        """Remove a checkpoint that is no longer needed."""
        self._checkpoint_path(name).unlink(missing_ok=True)

    def _checkpoint_path(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"

    # -- files ---------------------------------------------------------------------------------

    def _write_info(self) -> None:
        self._info["updated"] = _now()
        write_json(self.path / INFO_NAME, self._info)

    def _write_log(self, message: str) -> None:
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{_now()} {message}\n")

    def _rewind_metrics(self) -> None:
        """Drop rows later than the last checkpoint: their steps are done again."""
        checkpoints = (self.path / "checkpoints").glob("*.safetensors")
        kept = max((read_header(path).get(_METRICS_ROWS, 0) for path in checkpoints), default=0)
        path = self.path / "metrics.csv"
        self._metrics_columns, rows = _read_csv(path)
        self._metrics_rows = min(kept, len(rows))
        if len(rows) > kept:
            _write_csv(path, self._metrics_columns, rows[:kept])

    @contextmanager
    def _record_warnings(self) -> Iterator[None]:
        """Write warnings to the log, too."""
        show = warnings.showwarning

        def show_and_log(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            self._write_log(f"warning: {message}")
            show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_and_log
        try:
            yield
        finally:
            warnings.showwarning = show


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        message = f"{folder} cannot be a folder, since a file is in its place; choose another --out"
        raise CryoswayError(message) from None


def _new_info(request: tuple[str, dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    command, config, inputs = request
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "command": command,
        "status": "running",
        "config": config,
        "inputs": inputs,
        "seed": config.get("seed"),
        "timings": {},
        "created": _now(),
    }


def _start_info(
    info: dict[str, Any],
    request: tuple[str, dict[str, Any], dict[str, Any]],
    origin: dict[str, Any],
) -> dict[str, Any]:
    """Note a new attempt, unless the job is finished."""
    if info.get("status") == "finished":
        return info
    kept = {k: v for k, v in info.items() if k not in ("error", "sources", "chosen")}
    attempts = info.get("attempts", 0) + 1
    return {
        **kept,
        **origin,
        "status": "running",
        "config": request[1],
        "attempts": attempts,
        "versions": collect_versions(),
    }


def _read_existing(
    folder: Path,
    request: tuple[str, dict[str, Any], dict[str, Any]],
    *,
    resume: bool,
    overwrite: bool,
) -> dict[str, Any] | None:
    """Give the info of an earlier run of the same request, or None when to start anew."""
    if not (folder / INFO_NAME).exists():
        strangers = sorted(path.name for path in folder.iterdir() if path.name != LOCK_NAME)
        if strangers and strangers != ["log.txt"]:
            message = (
                f"{folder} holds files that are not of a job ({', '.join(strangers[:3])}); "
                "choose a new folder for --out"
            )
            raise CryoswayError(message)
        return None
    info = read_job_info(folder)
    difference = describe_difference(info, request)
    if difference and not overwrite:
        message = (
            f"{folder} holds another job ({difference}); choose another --out, or give "
            "--overwrite to delete what it holds"
        )
        raise CryoswayError(message)
    return None if difference or not resume else info


def _empty_folder(folder: Path, inputs: Mapping[str, Any], keep: Collection[str]) -> None:
    """Delete all but the lock and what is to be kept, unless an input lies inside."""
    for value in inputs.values():
        if isinstance(value, str) and folder.resolve() in Path(value).resolve().parents:
            message = f"{folder} holds {value}, which is the input; choose another --out"
            raise CryoswayError(message)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == INFO_NAME):  # job.json last
        if path.name == LOCK_NAME or path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    if not path.exists():
        return [], []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or []), list(reader)


def _write_csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as f,
    ):
        writer = csv.DictWriter(f, columns)
        writer.writeheader()
        writer.writerows(rows)
