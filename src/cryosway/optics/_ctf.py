"""The contrast transfer function, with RELION's sign: CTF(0) = + amplitude contrast."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

_DEFAULTS = {"phase_shift": 0.0, "scale": 1.0, "bfactor": 0.0}


@dataclass(frozen=True, eq=False)
class CtfParams:
    """CTF parameters of N particles, each a tensor of shape (N,).

    Units: defocus Å (underfocus positive), angles in degrees, voltage kV, Cs mm, pixel size Å,
    B factor Å².
    """

    defocus_u: Tensor
    defocus_v: Tensor
    defocus_angle: Tensor
    voltage: Tensor
    cs: Tensor
    amplitude_contrast: Tensor
    phase_shift: Tensor
    pixel_size: Tensor
    scale: Tensor
    bfactor: Tensor

    @classmethod
    def from_table(
        cls,
        table: "pd.DataFrame",
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> "CtfParams":
        """Build from a table with the columns of ``Particles.ctf``.

        ``phase_shift``, ``scale`` and ``bfactor`` may be missing: 0°, 1 and 0 Å².
        """
        columns = {}
        for field in fields(cls):
            if field.name in table:
                values = torch.as_tensor(table[field.name].to_numpy(dtype="float64", copy=True))
            else:
                values = torch.full((len(table),), _DEFAULTS[field.name], dtype=torch.float64)
            columns[field.name] = values.to(dtype=dtype, device=device)
        return cls(**columns)

    def __getitem__(self, index: "slice | Tensor") -> "CtfParams":
        return CtfParams(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.defocus_u)


def electron_wavelength(voltage: Tensor) -> Tensor:
    """Relativistic wavelength in Å: 12.2639 / √(V + 0.97845·10⁻⁶ V²), voltage in kV."""
    volts = voltage * 1e3
    return 12.2639 / torch.sqrt(volts + 0.97845e-6 * volts**2)


def compute_ctf(frequencies: Tensor, params: CtfParams) -> Tensor:
    """Evaluate the CTF of every particle at 2D frequencies.

    df(θ) = ½(dfU + dfV + (dfU − dfV) cos 2(θ − θ₀)),
    γ = 2π(−½ df λ s² + ¼ Cs λ³ s⁴) − phase shift,
    CTF = scale · exp(−B s²/4) · (w cos γ − √(1 − w²) sin γ).

    The astigmatic term is formed from the Cartesian frequency, without the angle θ, so that
    the function is smooth (also at s = 0), and dfU < dfV is as good as dfU > dfV.

    Parameters
    ----------
    frequencies
        Shape (P, 2) or (H, W, 2): (x, y) in cycles/pixel.
    params
        Of N particles.

    Returns
    -------
    Shape (N, P) or (N, H, W), of the parameters' dtype.
    """
    extra = (1,) * (frequencies.ndim - 1)

    def column(values: Tensor) -> Tensor:
        return values.reshape(-1, *extra)

    pixel_size = column(params.pixel_size)
    sx = frequencies[..., 0].to(pixel_size) / pixel_size
    sy = frequencies[..., 1].to(pixel_size) / pixel_size
    s2 = sx * sx + sy * sy
    theta0 = torch.deg2rad(column(params.defocus_angle))
    # s² cos 2(θ − θ₀) = (sx² − sy²) cos 2θ₀ + 2 sx sy sin 2θ₀
    s2_cos = (sx * sx - sy * sy) * torch.cos(2 * theta0) + 2 * sx * sy * torch.sin(2 * theta0)
    mean_defocus = 0.5 * column(params.defocus_u + params.defocus_v)
    astigmatism = 0.5 * column(params.defocus_u - params.defocus_v)
    df_s2 = mean_defocus * s2 + astigmatism * s2_cos
    wavelength = column(electron_wavelength(params.voltage))
    cs_angstrom = column(params.cs) * 1e7
    gamma = 2 * torch.pi * (-0.5 * wavelength * df_s2 + 0.25 * cs_angstrom * wavelength**3 * s2**2)
    gamma = gamma - torch.deg2rad(column(params.phase_shift))
    w = column(params.amplitude_contrast)
    ctf = w * torch.cos(gamma) - torch.sqrt(1 - w**2) * torch.sin(gamma)
    return ctf * column(params.scale) * torch.exp(-0.25 * column(params.bfactor) * s2)
