"""The encoder of cryoDRGN: from an image to the posterior of its latent.

It sees the image times a window (and −1), its Hartley transform Re F − Im F on a lattice of D + 1
points a side (the first row and column again at the end), divided by the spread of the training's
images, moved to the centre, times the sign of the CTF, within a circle without its centre.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import load_tensors, read_json, save_tensors
from cryosway.methods._cryodrgn.folder import TrainingFolder
from cryosway.methods._cryodrgn.layers import Layer, read_layers
from cryosway.optics import CtfParams, compute_ctf

ENCODER_NAME = "encoder.safetensors"
_WINDOW = 0.85  # where cryoDRGN's window begins unless told, in half boxes
_WINDOW_END = 0.99
_NUMBERS_AT_ONCE = 1 << 22  # pixels of one pass


@final
class CryodrgnView(BaseModel):
    """What the encoder sees of an image: all that training settings say of it.

    Attributes
    ----------
    box
        Pixels a side.
    radius
        Of the circle, Fourier pixels; negative for the whole lattice with its centre.
    window
        Where the window begins, in half boxes; none without one.
    invert
        Whether images are multiplied by −1.
    flip
        Whether they are multiplied by the sign of the CTF.
    offset, scale
        Mean and spread of Hartley transforms, that they are normalised by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: int
    radius: int
    window: float | None
    invert: bool
    flip: bool
    offset: float
    scale: float


@final
@dataclass(frozen=True, eq=False)
class CryodrgnEncoder:
    """Means and log variances of latents from images, as ``cryodrgn eval_images`` gives.

    Attributes
    ----------
    view : CryodrgnView
        What it sees.
    layers : list
        Matrix and bias of each, with a ReLU between.
    """

    view: CryodrgnView
    layers: list[Layer]

    @classmethod
    def read(cls, folder: TrainingFolder) -> "CryodrgnEncoder":
        """Make the encoder of a training folder.

        Raises
        ------
        CryoswayError
            It has none, or one that cryosway does not know: the message says why.
        """
        settings, data = folder.settings, folder.data
        kind = str(settings.get("encode_mode"))
        layers = read_layers(folder.read_weights(), "encoder.main.")
        if folder.is_abinit or not layers:
            raise CryoswayError("cryoDRGN kept a table of latents, or none, and no encoder")
        if kind not in ("resid", "mlp"):
            raise CryoswayError(f"cryosway does not know cryoDRGN's encoders of the kind {kind!r}")
        radius = settings.get("enc_mask")
        view = CryodrgnView(
            box=folder.box,
            radius=folder.box // 2 if radius is None else int(radius),
            window=float(data.get("window_r", _WINDOW)) if data.get("window", True) else None,
            invert=bool(data.get("invert_data", True)),
            flip=data.get("ctf") is not None,
            offset=folder.norm[0],
            scale=folder.norm[1],
        )
        encoder = cls(view, layers)
        seen, wanted = encoder._points.shape[1], layers[0][0].shape[1]
        if seen != wanted or len(layers[-1][0]) != 2 * folder.latent_dim:
            raise CryoswayError(f"its encoder sees {wanted} points, but the settings say {seen}")
        return encoder

    @torch.inference_mode()
    def encode(
        self, images: Tensor, shifts: Tensor, ctf: CtfParams | None
    ) -> tuple[Tensor, Tensor]:
        """Posterior of images.

        Parameters
        ----------
        images
            Shape (n, D, D), as in the files.
        shifts
            Shape (n, 2): (x, y) that centre the images, fractions of the box.
        ctf
            Of these particles; none where images have none, as they are flipped already.

        Returns
        -------
        Mean and log variance, each (n, K).
        """
        size = max(1, _NUMBERS_AT_ONCE // self.view.box**2)
        parts = [slice(first, first + size) for first in range(0, len(images), size)]
        out = [
            self._run(images[part], shifts[part], None if ctf is None else ctf[part])
            for part in parts
        ]
        mean, log_variance = torch.cat(out).chunk(2, dim=1)
        return mean, log_variance

    def _run(self, images: Tensor, shifts: Tensor, ctf: CtfParams | None) -> Tensor:
        hidden = self._see(images, shifts, ctf)
        for matrix, bias in self.layers[:-1]:
            hidden = torch.relu(hidden @ matrix.T + bias)
        matrix, bias = self.layers[-1]
        return hidden @ matrix.T + bias

    def _see(self, images: Tensor, shifts: Tensor, ctf: CtfParams | None) -> Tensor:
        """Give what the first layer gets, shape (n, points)."""
        view, box = self.view, self.view.box
        shown = images.float() * self._window * (-1.0 if view.invert else 1.0)
        plane = (1, 2)
        spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.fftshift(shown, plane)), plane)
        hartley = ((spectrum.real - spectrum.imag).flatten(1) - view.offset) / view.scale
        column, row = (self._points + box // 2) % box
        mate_column, mate_row = (box // 2 - self._points) % box
        frequencies = self._points.T.double() / box
        # cryoDRGN counts shifts in pixels of its lattice, of which there is one more.
        phase = 2 * math.pi * (box + 1) * shifts.double() @ frequencies.T
        here, mates = hartley[:, row * box + column], hartley[:, mate_row * box + mate_column]
        moved = phase.cos().float() * here + phase.sin().float() * mates
        if not view.flip or ctf is None:
            return moved
        # Its CTF is −RELION's. Near zeros, rounding decides the sign, here and there.
        return moved * -torch.sign(compute_ctf(frequencies.float(), ctf))

    @cached_property
    def _points(self) -> Tensor:
        """Points (x, y) of the lattice that it sees, Fourier pixels, row by row: (2, points)."""
        half = self.view.box // 2
        pixels = torch.arange(-half, half + 1)
        y, x = torch.meshgrid(pixels, pixels, indexing="ij")
        chosen = torch.ones_like(x, dtype=torch.bool)
        if self.view.radius >= 0:
            # In single precision, as cryoDRGN's: some points on the circle fall out by rounding.
            lattice = torch.from_numpy(np.linspace(-0.5, 0.5, self.view.box + 1)).float()
            squares = lattice.square()[None, :] + lattice.square()[:, None]
            chosen = (squares <= (self.view.radius / half * 0.5) ** 2) & (squares > 0)
        return torch.stack([x[chosen], y[chosen]])

    @cached_property
    def _window(self) -> Tensor:
        """Weight of every pixel, shape (D, D)."""
        box, begin = self.view.box, self.view.window
        if begin is None:
            return torch.ones(box, box)
        axis = 2 * torch.arange(box, dtype=torch.float64) / box - 1
        radius = torch.hypot(axis[:, None], axis)
        return (1 - (radius - begin) / (_WINDOW_END - begin)).clamp(0, 1).float()

    def save(self, folder: Path) -> dict[str, Any]:
        """Write encoder.safetensors; give what model.json is to say of it."""
        tensors: dict[str, Tensor] = {}
        for number, (matrix, bias) in enumerate(self.layers):
            tensors |= {f"{number}.weight": matrix.contiguous(), f"{number}.bias": bias}
        save_tensors(folder / ENCODER_NAME, tensors, {})
        return self.view.model_dump()

    @classmethod
    def load(cls, folder: Path) -> "CryodrgnEncoder":
        """Read encoder.safetensors and model.json."""
        described = read_json(folder / "model.json")["encoder"]
        found = load_tensors(folder / ENCODER_NAME)[0]
        tensors = {name: torch.as_tensor(value) for name, value in found.items()}
        layers = [
            (tensors[f"{number}.weight"], tensors[f"{number}.bias"])
            for number in range(len(tensors) // 2)
        ]
        return cls(CryodrgnView(**described), layers)
