"""What a training folder of cryoDRGN holds: settings, weights, latents, and where its data are."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.methods._cryodrgn.config import read_config
from cryosway.particles import load_array_series, load_torch_archive

FloatArray = npt.NDArray[np.float64]

_EPOCH_LINE = re.compile(
    r"=====> (?:\w+ )?Epoch: (?P<epoch>\d+).*?(?:gen loss|loss) = (?P<loss>[-\d.e+]+)"
    r"(?:, KLD = (?P<kld>[-\d.e+]+))?"
)


@final
@dataclass(frozen=True)
class TrainingFolder:
    """A folder that ``cryodrgn train_vae``, ``train_dec``, ``train_nn`` or ``abinit`` filled.

    Attributes
    ----------
    path : Path
        The folder.
    epoch : int or None
        Which epoch's files are meant; None for the final ones.
    config : dict
        Its settings.
    """

    path: Path
    epoch: int | None
    config: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, epoch: int | None = None) -> "TrainingFolder":
        """Find the settings and the weights of a folder.

        Raises
        ------
        CryoswayError
            The folder is not one of cryoDRGN's, or has no weights of the epoch.
        """
        folder = Path(path)
        if not folder.is_dir():
            message = f"{folder} is not a folder; give the one that was cryodrgn's --outdir"
            raise CryoswayError(message)
        config = read_config(folder)
        found = sorted(
            int(number) for name in folder.glob("weights.*.pkl")
            if (number := name.name.split(".")[1]).isdigit()
        )  # fmt: skip
        if epoch is None and not (folder / "weights.pkl").exists():
            if not found:
                message = f"{folder} holds no weights (weights.pkl); has its training written any?"
                raise CryoswayError(message)
            epoch = found[-1]
        if epoch is not None and epoch not in found:
            there = ", ".join(map(str, found)) or "only the final ones (leave --epoch out)"
            message = f"{folder} has no weights of epoch {epoch}; there are {there}"
            raise CryoswayError(message)
        return cls(folder, epoch, config)

    def file(self, name: str) -> Path:
        """Path of ``weights``, ``z`` or ``pose`` at the epoch."""
        return self.path / (f"{name}.pkl" if self.epoch is None else f"{name}.{self.epoch}.pkl")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the network: cryoDRGN's ``model_args``."""
        return _section(self.config, "model_args", self.path)

    @property
    def data(self) -> dict[str, Any]:
        """Settings of the data: cryoDRGN's ``dataset_args``."""
        return _section(self.config, "dataset_args", self.path)

    @property
    def box(self) -> int:
        """Pixels a side of images and volumes."""
        size = _section(self.config, "lattice_args", self.path).get("D")
        if not isinstance(size, int) or size % 2 == 0 or size < 5:
            message = f"{self.path}: the settings state a lattice of {size!r} points, not 2 n + 1"
            raise CryoswayError(message)
        return size - 1

    @property
    def latent_dim(self) -> int:
        """Length of z; 0 for ``train_nn``."""
        return int(self.settings.get("zdim") or 0)

    @property
    def is_abinit(self) -> bool:
        """Whether ``cryodrgn abinit`` filled it, which searched for the poses, too."""
        return "data_norm_std" in self.config

    @property
    def norm(self) -> tuple[float, float]:
        """Mean and spread by which the images' Hartley transforms were normalised."""
        if self.is_abinit:
            return float(self.config["data_norm_mean"]), float(self.config["data_norm_std"])
        mean, spread = self.data.get("norm") or (0.0, 1.0)
        return float(mean), float(spread)

    @property
    def version(self) -> str:
        """Version of cryoDRGN that trained it, as far as it says."""
        return str(self.config.get("version", "of unknown version"))

    def read_weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """Read the weights of the networks, by cryoDRGN's names."""
        path = self.file("weights")
        content = load_torch_archive(path)
        state = content.get("model_state_dict") if isinstance(content, dict) else None
        if not isinstance(state, dict) or not all(
            isinstance(value, np.ndarray) for value in state.values()
        ):
            message = f"{path} holds no weights of cryoDRGN (model_state_dict); is it another file?"
            raise CryoswayError(message)
        return {
            str(name).removeprefix("module."): np.asarray(value, np.float32)
            for name, value in state.items()
        }

    def read_latents(self) -> tuple[FloatArray, FloatArray | None]:
        """Read the latents of all particles.

        Returns
        -------
        mean : numpy.ndarray
            Shape (N, K).
        sd : numpy.ndarray or None
            Shape (N, K); None where cryoDRGN has a table without posterior.
        """
        path = self.file("z")
        tables = [np.asarray(part, np.float64) for part in load_array_series(path)]
        mean = tables[0]
        if mean.ndim != 2 or mean.shape[1] != self.latent_dim or len(tables) > 2:
            message = (
                f"{path} holds latents of shape {mean.shape}, but the settings state "
                f"{self.latent_dim} dimensions; was the folder written over by another training?"
            )
            raise CryoswayError(message)
        if len(tables) == 1:
            return mean, None
        if tables[1].shape != mean.shape:
            message = f"{path} holds means and variances of different shapes; copy it again"
            raise CryoswayError(message)
        return mean, np.exp(0.5 * tables[1])

    def read_losses(self) -> list[dict[str, float]]:
        """Read the loss of each epoch from run.log, as far as it is there."""
        path = self.path / "run.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        rows: dict[int, dict[str, float]] = {}
        for match in _EPOCH_LINE.finditer(text):
            row = {name: float(value) for name, value in match.groupdict().items() if value}
            rows[int(row["epoch"])] = row
        return [rows[epoch] for epoch in sorted(rows)]


def _section(config: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    part = config.get(name)
    if not isinstance(part, dict):
        message = (
            f"{folder}: the settings have no section {name}; cryosway reads folders of cryodrgn "
            "train_vae, train_dec, train_nn and abinit"
        )
        raise CryoswayError(message)
    return part
