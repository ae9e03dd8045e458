"""Which files a set of particles was read from, so that it can be read again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ParticleFiles:
    """The arguments of `read_particles`.

    Attributes
    ----------
    paths : tuple of Path
        The particle files, as given.
    images_dir, poses, ctf : Path or None
        The other paths that were given.
    accept_defaults : bool
        As given.
    changed : bool
        Whether poses, CTF or contrast were changed since, by other means than these files.
    """

    paths: tuple[Path, ...]
    images_dir: Path | None = None
    poses: Path | None = None
    ctf: Path | None = None
    accept_defaults: bool = False
    changed: bool = False

    def describe(self) -> dict[str, Any]:
        """Give what there is to note, by the names of the command line's options."""
        others = {"images_dir": self.images_dir, "poses": self.poses, "ctf": self.ctf}
        switches = {"accept_defaults": self.accept_defaults, "changed": self.changed}
        noted = {name: value for name, value in {**others, **switches}.items() if value}
        return {"particles": list(self.paths), **noted}

    @classmethod
    def recall(cls, noted: dict[str, Any]) -> "ParticleFiles":
        """Undo `describe`, of paths or text."""

        def find(name: str) -> Path | None:
            return Path(noted[name]) if name in noted else None

        return cls(
            tuple(Path(path) for path in noted["particles"]),
            images_dir=find("images_dir"),
            poses=find("poses"),
            ctf=find("ctf"),
            accept_defaults=bool(noted.get("accept_defaults")),
            changed=bool(noted.get("changed")),
        )
