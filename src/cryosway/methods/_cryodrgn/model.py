"""The decoder of cryoDRGN as a `NeuralField`, and back.

cryoDRGN evaluates its network on the half space below the plane kz = 0 and ours above it: with
wave vectors and imaginary part turned round, both are the same function. Its densities are
discrete Hartley transforms of H = Re V̂ − Im V̂ times the spread of the images, on all frequencies
up to Nyquist (and, in the domain ``hartley``, in the corners of the cube beyond; those of
``cryodrgn abinit`` lack the axis kx = ky = 0).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cryosway._errors import CryoswayError
from cryosway.engine import load_tensors, read_json, save_tensors, write_json
from cryosway.methods._cryodrgn.folder import TrainingFolder
from cryosway.methods._cryodrgn.layers import Layer, Weights, add_skip, read_layers
from cryosway.volumes import ENCODINGS, FieldSpec, NeuralField

if TYPE_CHECKING:
    from cryosway.jobs import Job

Support = Literal["ball", "cube", "ball without axis"]

_NUMBERS_AT_ONCE = 1 << 22  # hidden values of one pass
_ABOVE = 1e-6  # Fourier pixels over the plane kz = 0


@final
@dataclass(frozen=True, eq=False)
class CryodrgnModel:
    """A decoder with the scale of its images.

    Attributes
    ----------
    field : NeuralField
        V̂(k; z) in units of the images' spread.
    extent : float
        Largest coordinate of cryoDRGN's lattice; its 0.5 is Nyquist.
    offset, scale : float
        Mean and spread of the images' Hartley transform, by which cryoDRGN normalised them.
    pixel_size : float
        Å per pixel.
    support : str
        Frequencies that are not zero: ball, cube, or ball without axis.
    """

    field: NeuralField
    extent: float
    offset: float
    scale: float
    pixel_size: float
    support: Support

    @property
    def box(self) -> int:
        """Voxels a side."""
        return self.field.spec.box

    @classmethod
    def read(cls, folder: TrainingFolder, pixel_size: float) -> "CryodrgnModel":
        """Make the decoder of a training folder.

        Raises
        ------
        CryoswayError
            The network is of a kind that cryosway does not know.
        """
        lattice = folder.config["lattice_args"]
        extent = float(lattice.get("extent", 0.5))
        field = _make_field(folder, extent)
        support: Support = "ball" if field.spec.domain == "fourier" else "cube"
        return cls(
            field=field,
            extent=extent,
            offset=folder.norm[0],
            scale=folder.norm[1],
            pixel_size=pixel_size,
            support="ball without axis" if folder.is_abinit else support,
        )

    @torch.inference_mode()
    def volume(self, z: npt.ArrayLike | None) -> npt.NDArray[np.float32]:
        """Density at latent z, shape (D, D, D), axes (z, y, x), as ``cryodrgn eval_vol`` gives."""
        latent = torch.tensor(np.asarray([] if z is None else z), dtype=torch.float32)
        box, half = self.box, self.box // 2
        grid = torch.zeros(box + 1, box + 1, box + 1)
        for points in self._upper_half():
            re, im = self._evaluate(points, latent)
            x, y, depth = points.long().T
            grid[depth + half, y + half, x + half] = re - im
            # The mates; last, since cryoDRGN keeps the imaginary part of the origin with this sign.
            grid[half - depth, half - y, half - x] = re + im
            if self.field.spec.encoding == "none" and self.field.spec.domain == "fourier":
                self._add_seam(grid, points, latent)
        return _to_density(grid[:-1, :-1, :-1] * self.scale + self.offset)

    def _add_seam(self, grid: Tensor, points: Tensor, latent: Tensor) -> None:
        """Without an encoding, cryoDRGN evaluates both halves of the plane kz = 0."""
        plane = points[points[:, 2] == 0]
        lifted = -plane
        lifted[:, 2] = _ABOVE
        re, im = self._evaluate(lifted, latent)
        x, y, depth = (plane.long() + self.box // 2).T
        grid[depth, y, x] = re + im

    def _evaluate(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        count = max(1, _NUMBERS_AT_ONCE // max(self.field.spec.width, len(self.field.waves)))
        values = [self.field(some[None], latent[None])[0] for some in points.split(count)]
        re, im = torch.cat(values).T
        return re, im

    def _upper_half(self) -> Iterator[Tensor]:
        """Points (P, 3) = (x, y, z) in Fourier pixels, plane by plane from kz = 0 upwards."""
        half = self.box // 2
        pixels = torch.arange(-half, half + 1, dtype=torch.float32)
        lattice = torch.from_numpy(np.linspace(-self.extent, self.extent, self.box + 1)).float()
        y, x = torch.meshgrid(pixels, pixels, indexing="ij")
        squares = lattice.square()[None, :] + lattice.square()[:, None]
        for depth in range(half + 1):
            wanted = torch.ones_like(x, dtype=torch.bool)
            if self.field.spec.encoding == "none":
                wanted = x.square() + y.square() + depth**2 <= half**2
            elif self.support == "ball":
                # In single precision, as cryoDRGN's: some points at Nyquist fall out by rounding.
                wanted = squares + lattice[half + depth].square() <= self.extent**2
            elif self.support == "ball without axis":
                # Each plane is a disc of a whole radius, on a lattice of one point more.
                above = half**2 - (depth * (self.box + 1) / self.box) ** 2
                radius = math.floor(max(above, 0) ** 0.5)
                wanted = (squares <= (radius / half * self.extent) ** 2) & (squares > 0)
            if depth == 0:
                wanted &= (y > 0) | ((y == 0) & (x >= 0))
            plane = torch.stack([x, y, torch.full_like(x, depth)], dim=-1)
            if wanted.any():
                yield plane[wanted]

    def to_cryodrgn(self) -> dict[str, Tensor]:
        """Give the weights by the names of ``cryodrgn train_dec``, whose functions are the same."""
        field, spec = self.field, self.field.spec
        coordinates, last = field.first.weight.clone(), field.last.weight.clone()
        bias, waves = field.last.bias.clone(), field.waves / (2 * self.extent)
        if spec.encoding == "none":
            coordinates /= 2 * self.extent
        if spec.domain == "fourier":
            waves = -waves
            coordinates = -coordinates if spec.encoding == "none" else coordinates
            for part in (last, bias):
                part[1] *= -1
        columns = torch.empty_like(coordinates)
        columns[:, _feature_order(spec.encoding, coordinates.shape[1])] = coordinates
        layers: list[Layer] = [(torch.cat([columns, field.latent.weight], 1), field.first.bias)]
        for layer in field.body:
            assert isinstance(layer, nn.Linear)
            layers.append((add_skip(layer.weight, 1.0), layer.bias))
        layers.append((last, bias))
        named = {}
        if spec.encoding == "gaussian":
            named["rand_freqs"] = waves / (self.box // 2)
        for number, (matrix, shift) in enumerate(layers):
            skips = matrix.shape[0] == matrix.shape[1]
            name = f"decoder.main.{2 * number}" + (".linear" if skips else "")
            named[f"{name}.weight"] = add_skip(matrix, -1.0 if skips else 0.0)
            named[f"{name}.bias"] = shift
        return {name: tensor.detach().clone() for name, tensor in named.items()}

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write model.safetensors and model.json."""
        save_tensors(folder / "model.safetensors", self.field.state_dict(), {})
        architecture = {
            "volume": "NeuralField",
            "field": self.field.spec,
            "extent": self.extent,
            "offset": self.offset,
            "scale": self.scale,
            "support": self.support,
            "box": self.box,
            "pixel_size": self.pixel_size,
            **facts,
        }
        write_json(folder / "model.json", architecture)

    @classmethod
    def load(cls, folder: Path) -> "CryodrgnModel":
        """Read model.safetensors and model.json."""
        facts = read_json(folder / "model.json")
        field = NeuralField(FieldSpec(**facts["field"]))
        field.load_state_dict(load_tensors(folder / "model.safetensors")[0])
        numbers = {name: float(facts[name]) for name in ("extent", "offset", "scale", "pixel_size")}
        return cls(field=field.eval(), support=cast("Support", facts["support"]), **numbers)


def is_cryodrgn(job: "Job") -> bool:
    """Tell whether a job's model is one that cryoDRGN has trained."""
    path = job.path / "model.json"
    return path.exists() and str(read_json(path).get("program")).startswith("cryoDRGN")


def open_decoder(job: "Job") -> CryodrgnModel:
    """Open the decoder of an imported job."""
    return CryodrgnModel.load(job.path)


def _to_density(grid: Tensor) -> npt.NDArray[np.float32]:
    """Discrete Hartley transform of a cube of values whose origin is voxel D/2."""
    transform = torch.fft.fftn(torch.fft.ifftshift(grid))
    density = torch.fft.fftshift(transform.real - transform.imag)
    made: npt.NDArray[np.float32] = (density / grid.numel()).numpy()
    return made


def _make_field(folder: TrainingFolder, extent: float) -> NeuralField:
    weights = folder.read_weights()
    layers = _read_layers(weights, folder)
    settings = folder.settings
    _require_known(settings, layers, folder)
    latent_dim, encoding = folder.latent_dim, str(settings["pe_type"])
    first, last = layers[0], layers[-1]
    features = first[0].shape[1] - latent_dim
    spec = FieldSpec(
        box=folder.box,
        latent_dim=latent_dim,
        width=len(first[0]),
        layers=len(layers) - 2,
        encoding=encoding,  # type: ignore[arg-type]
        encoding_dim=None if encoding == "none" else features // 6,
        feature_sigma=float(settings.get("feat_sigma") or 0.5),
        domain="fourier" if len(last[0]) == 2 else "hartley",
        conditioning="concatenate",
    )
    field = NeuralField(spec)
    stretch = 2 * extent
    if encoding == "gaussian":
        names = ("decoder.rand_freqs", "hypervolume.rand_freqs", "rand_freqs")
        drawn = next((weights[name] for name in names if name in weights), None)
        if drawn is None or drawn.shape != (features // 2, 3):
            message = f"{folder.file('weights')} holds no wave vectors that fit its first layer"
            raise CryoswayError(message)
        field.waves.copy_(torch.tensor(drawn) * (folder.box // 2))
    field.waves *= stretch
    columns = first[0][:, _feature_order(encoding, features)]
    if encoding == "none":
        columns = columns * stretch
    turned = (last[0].clone(), last[1].clone())
    if spec.domain == "fourier":
        field.waves.neg_()
        columns = -columns if encoding == "none" else columns
        for part in turned:
            part[1] *= -1
    with torch.no_grad():
        field.first.weight.copy_(columns)
        field.first.bias.copy_(first[1])
        field.latent.weight.copy_(first[0][:, features:])
        for layer, (matrix, bias) in zip(field.body, layers[1:-1], strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(matrix)
            layer.bias.copy_(bias)
        field.last.weight.copy_(turned[0])
        field.last.bias.copy_(turned[1])
    return field.eval()


def _feature_order(encoding: str, features: int) -> npt.NDArray[np.int64]:
    """Where our features (all sines, all cosines) are in cryoDRGN's (sines, cosines per axis)."""
    order = np.arange(features)
    if encoding in ("gaussian", "none"):
        return order
    return order.reshape(3, 2, -1).transpose(1, 0, 2).ravel()


def _read_layers(weights: Weights, folder: TrainingFolder) -> list[Layer]:
    """Matrix and bias of every layer of the decoder; the middle ones without what they skip."""
    prefixes = ("decoder.decoder.main.", "hypervolume.mlp.main.", "decoder.main.")
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in weights)), "none")
    layers = read_layers(weights, prefix)
    if len(layers) < 2:
        message = (
            f"{folder.file('weights')} holds no decoder that cryosway knows; it reads those of "
            "cryodrgn train_vae, train_dec, train_nn and abinit"
        )
        raise CryoswayError(message)
    middle = [(add_skip(matrix, -1.0), bias) for matrix, bias in layers[1:-1]]
    return [layers[0], *middle, layers[-1]]


def _require_known(
    settings: Mapping[str, Any], layers: list[Layer], folder: TrainingFolder
) -> None:
    """Refuse networks that a `NeuralField` cannot be."""
    encoding, activation = settings.get("pe_type"), settings.get("activation", "relu")
    widths = {len(matrix) for matrix, _ in layers[:-1]}
    problem = None
    if encoding not in ENCODINGS:
        problem = f"the positional encoding {encoding!r}"
    elif activation != "relu":
        problem = f"the activation {activation!r}"
    elif len(widths) != 1 or len(layers[-1][0]) not in (1, 2):
        problem = "layers of unequal width or an unusual output"
    if problem is not None:
        message = f"{folder.path}: cryosway cannot decode a network with {problem}"
        raise CryoswayError(message)
