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

    With δ = arccos w the last factor is cos(γ + δ). The astigmatic term is formed from the
    Cartesian frequency, without the angle θ, so that the function is smooth (also at s = 0), and
    dfU < dfV is as good as dfU > dfV. γ is then linear in four functions of the frequency, and
    one matrix product gives it for all particles and points.

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
    points = frequencies.reshape(-1, 2).to(params.pixel_size)
    x, y = points[:, 0], points[:, 1]
    s2 = x * x + y * y  # (cycles/pixel)²
    features = torch.stack([s2, x * x - y * y, 2 * x * y, s2 * s2])
    phase = torch.addmm(_constant_phase(params)[:, None], _phase_coefficients(params), features)
    ctf = torch.cos(phase)
    if not bool((params.scale == 1).all()) or params.scale.requires_grad:
        ctf = ctf * params.scale[:, None]
    if bool((params.bfactor != 0).any()) or params.bfactor.requires_grad:
        rate = -0.25 * params.bfactor / params.pixel_size**2
        ctf = ctf * torch.exp(rate[:, None] * s2)
    return ctf.reshape(len(params), *frequencies.shape[:-1])


def _phase_coefficients(params: CtfParams) -> Tensor:
    """Coefficients of γ on [s², s² cos 2θ, s² sin 2θ, s⁴] in pixel units, shape (N, 4)."""
    wavelength = electron_wavelength(params.voltage)
    theta0 = torch.deg2rad(params.defocus_angle)
    per_defocus = -torch.pi * wavelength / params.pixel_size**2
    astigmatism = 0.5 * (params.defocus_u - params.defocus_v)
    cs_angstrom = params.cs * 1e7
    return torch.stack(
        [
            per_defocus * 0.5 * (params.defocus_u + params.defocus_v),
            per_defocus * astigmatism * torch.cos(2 * theta0),
            per_defocus * astigmatism * torch.sin(2 * theta0),
            0.5 * torch.pi * cs_angstrom * wavelength**3 / params.pixel_size**4,
        ],
        dim=1,
    )


def _constant_phase(params: CtfParams) -> Tensor:
    """δ − phase shift, shape (N,), with cos δ = w (atan2: its gradient is finite at w = 0)."""
    w = params.amplitude_contrast
    return torch.atan2(torch.sqrt(1 - w**2), w) - torch.deg2rad(params.phase_shift)
