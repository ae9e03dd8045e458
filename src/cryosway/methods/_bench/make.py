"""`bench make`: sets with a known truth, offline."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from cryosway.engine import write_json
from cryosway.methods._bench.options import BenchMakeOptions
from cryosway.protein import AtomTable, write_structure
from cryosway.simulate import BenchmarkStates, build_benchmark_states, simulate

_FILLED = 0.84  # of the box
_SHIFT = 0.05  # of the box
_FINEST = 3.0  # Å, of the densities
_TURNED = 40.0  # degrees

#: What is wrong with the particles of a variant, as options of `simulate`.
VARIANTS: dict[str, dict[str, Any]] = {
    "clean": {},
    "poses": {"angle_error": 5.0, "shift_error": 1.0},
    "views": {"view_concentration": 2.8},
    "junk": {"junk_fraction": 0.2},
}


def bench_make(
    out: str | Path, *, overwrite: bool = False, threads: int | None = None, **options: Any
) -> Path:
    """Simulate the benchmark's sets: a folder each for every kind, SNR and variant.

    They need nothing but the package: states are built from adenylate kinase and made-up
    structures. An interrupted command goes on when it is given again.

    Parameters
    ----------
    out : path
        Folder for the sets, as ``hinge_snr0.1`` and ``hinge_snr0.1_junk``. Each holds
        ``particles.star``, ``particles.mrcs``, ``truth.parquet``, ``volumes/`` (the true maps),
        ``states.csv`` (the true latent of every state) and, of one molecule, ``models/`` for
        `structural`: the right one and two wrong ones.
    overwrite : bool
        Replace sets that were made with other options.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `BenchMakeOptions`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CryoswayError
        When an option is wrong, or a folder holds another set.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.bench_make("sets", kind=("hinge",), snr=(0.1, 0.03))  # doctest: +SKIP
    PosixPath('sets')
    """
    settings = BenchMakeOptions.check("bench make", options)
    for kind in settings.kind:
        states = build_benchmark_states(
            kind, settings.states, seed=settings.seed, structures=settings.structures
        )
        for snr, variant in product(settings.snr, settings.variant):
            name = f"{kind}_snr{snr:g}" + ("" if variant == "clean" else f"_{variant}")
            given = _choose_options(settings, states)
            made = simulate(
                states.atoms, Path(out) / name, snr=snr, overwrite=overwrite, threads=threads,
                **given, **VARIANTS[variant],
            )  # fmt: skip
            states.table.to_csv(made.path / "states.csv", index=False)
            write_json(made.path / "set.json", {"kind": kind, "snr": snr, "variant": variant})
            if states.model is not None:
                write_models(made.path / "models", states)
    return Path(out)


def _choose_options(settings: BenchMakeOptions, states: BenchmarkStates) -> dict[str, Any]:
    pixel_size = settings.pixel_size or choose_pixel_size(states.radius, settings.box)
    table = states.table
    along = next((name for name in ("coordinate", "angle") if name in table), None)
    return {
        "n": settings.images,
        "box": settings.box,
        "pixel_size": pixel_size,
        "seed": settings.seed,
        "shift": round(_SHIFT * settings.box * pixel_size, 1),
        "resolution": max(_FINEST, pixel_size),
        "superpose": False,
        "populations": table["share"].tolist() if "share" in table else None,
        **({} if along is None else {"coordinates": tuple(table[along].tolist())}),
    }


def choose_pixel_size(radius: float, box: int) -> float:
    """Choose Å per pixel so that a molecule fills 84 % of the box.

    Examples
    --------
    >>> choose_pixel_size(80.0, 64)
    3.0
    """
    return float(np.ceil(10 * 2 * radius / (_FILLED * box)) / 10)


def write_models(folder: Path, states: BenchmarkStates) -> None:
    """Write the right model and two wrong ones: the moving part missing, and turned."""
    assert states.model is not None
    assert states.part is not None
    folder.mkdir(exist_ok=True)
    models = {
        "right": states.model,
        "missing": states.model[~states.part],
        "turned": _turn_part(states.model, states.part),
    }
    for name, model in models.items():
        write_structure(folder / f"{name}.cif", model)


def _turn_part(model: AtomTable, part: np.ndarray[Any, np.dtype[np.bool_]]) -> AtomTable:
    """Turn a part about its centre, by an axis that nothing singles out."""
    moved = model.coordinates.copy()
    centre = moved[part].mean(axis=0)
    axis = np.array([1.0, 2.0, 2.0]) / 3
    turn = Rotation.from_rotvec(np.radians(_TURNED) * axis)
    moved[part] = turn.apply(moved[part] - centre) + centre
    return model.with_coordinates(moved)
