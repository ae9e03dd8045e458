"""Finding the stacks that a metadata file names, also after the files have been moved."""

import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.particles._mrc import MrcLayout, read_layout

_CRYOSPARC_PREFIX = re.compile(r"^\d{21}_")
_STACK_SUFFIXES = (".mrcs", ".mrc", ".st")
_THREADS = 8


def locate_stacks(
    names: Sequence[str], metadata_file: Path, images_dir: Path | None
) -> list[MrcLayout]:
    """Find every stack by the name written in the metadata and read its header.

    Tried in order: ``images_dir`` joined with the name, with ever shorter ends of it down to
    the bare file name, and the parents of ``images_dir`` with the whole name; without
    ``images_dir``, the folder of the metadata file and its parents with the whole name (RELION
    and cryoSPARC write names relative to the project), the working directory likewise, last
    the folder of the metadata file with the bare file name, and a folder beside it with the last
    two parts of the name (a step of a run, moved as a whole). ``images_dir`` may also be one stack
    file, which then holds all images. A single missing stack is replaced, with a warning, by one
    that lies beside the metadata file under its name (``a.star``, ``a.mrcs``).

    Parameters
    ----------
    names : sequence of str
        Distinct names as written.
    metadata_file : Path
        The .star, .cs or .txt file that names them.
    images_dir : Path or None
        Where the user says the images are.

    Returns
    -------
    list of MrcLayout
        One for each name.

    Raises
    ------
    CryoswayError
        Stacks are missing: the message names the first, where it was sought, and how many more.
    """
    paths = _find_all(names, metadata_file, images_dir)
    if paths == [None]:
        paths = [_namesake(names[0], metadata_file, images_dir)]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise CryoswayError(_missing_message(missing, metadata_file, images_dir))
    found = [path for path in paths if path is not None]
    if len(found) == 1:
        return [read_layout(found[0])]
    with ThreadPoolExecutor(_THREADS) as pool:  # latency of a network disk, not work
        return list(pool.map(read_layout, found))


def lead_to_stacks(names: Sequence[str], stacks: Sequence[Path], metadata_file: Path) -> bool:
    """Tell whether names lead to the stacks from one of the folders above a metadata file.

    RELION reads names relative to the project, where it is started; a file written within the
    project can name the stacks as before.
    """
    pairs = [(name, stack.resolve()) for name, stack in zip(names, stacks, strict=True)]
    return any(
        all((folder / name).resolve() == stack for name, stack in pairs)
        for folder in metadata_file.absolute().parents
    )


def _find_all(
    names: Sequence[str], metadata_file: Path, images_dir: Path | None
) -> list[Path | None]:
    if images_dir is not None and images_dir.is_file():
        if len(names) > 1:
            message = (
                f"{metadata_file.name} names {len(names)} stacks but {images_dir} is one file; "
                "pass the folder that holds them"
            )
            raise CryoswayError(message)
        return [images_dir]
    if images_dir is not None and not images_dir.is_dir():
        raise CryoswayError(f"the images folder {images_dir} does not exist; check the path")
    finder = _Finder(metadata_file, images_dir)
    return [finder.find(name) for name in names]


class _Finder:
    """Remembers which rule found the last stack and tries it first for the next."""

    def __init__(self, metadata_file: Path, images_dir: Path | None) -> None:
        folder = metadata_file.resolve().parent
        self._folder = folder
        self._images_dir = images_dir.resolve() if images_dir is not None else None
        self._rule: tuple[Path, int] | None = None

    def find(self, name: str) -> Path | None:
        parts = PurePosixPath(name).parts
        rules = self._rules(len(parts))
        for base, dropped in ([self._rule] if self._rule else []) + list(rules):
            if dropped < len(parts):
                path = base.joinpath(*parts[dropped:])
                if path.is_file():
                    self._rule = (base, dropped)
                    return path
        return self._without_prefix(parts[-1])

    def _rules(self, count: int) -> Iterator[tuple[Path, int]]:
        """Yield (folder, leading components to drop) in the order of preference."""
        if self._images_dir is not None:
            yield from ((self._images_dir, dropped) for dropped in range(count))
            yield from ((parent, 0) for parent in self._images_dir.parents)
            return
        yield from ((folder, 0) for folder in (self._folder, *self._folder.parents))
        yield Path.cwd(), 0
        yield self._folder, count - 1
        if count > 1:
            yield self._folder.parent, count - 2

    def _without_prefix(self, file_name: str) -> Path | None:
        """Find the file under the name that it had before cryoSPARC's import put a number first."""
        original = _CRYOSPARC_PREFIX.sub("", file_name)
        path = (self._images_dir or self._folder) / original
        return path if original != file_name and path.is_file() else None


def _namesake(name: str, metadata_file: Path, images_dir: Path | None) -> Path | None:
    """Take the stack called like the metadata file for the only one it names, and say so."""
    folder = images_dir or metadata_file.resolve().parent
    beside = [folder / f"{metadata_file.stem}{suffix}" for suffix in _STACK_SUFFIXES]
    present = [path for path in beside if path.is_file()]
    if len(present) != 1:
        return None
    message = f"{metadata_file.name} names {name}, which is not there; reading {present[0]} instead"
    warnings.warn(message, CryoswayWarning, stacklevel=2)
    return present[0]


def _missing_message(missing: Sequence[str], metadata_file: Path, images_dir: Path | None) -> str:
    more = f" (and {len(missing) - 1} more stacks)" if len(missing) > 1 else ""
    where = f"{metadata_file.parent}, its parents and the working directory"
    return (
        f"{metadata_file.name} names {missing[0]}{more}, not found in {images_dir or where}; "
        "pass images_dir= (--images-dir), the folder that holds the stacks"
    )
