"""Image stacks without metadata: one ``.mrcs`` file, or a ``.txt`` file that lists several."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.particles._checks import check_places, check_square, warn_no_ctf
from cryosway.particles._image_store import ImageStore
from cryosway.particles._locate import locate_stacks
from cryosway.particles._mrc import MrcLayout, read_layout
from cryosway.particles._records import NO_CTF, ParticleRecords, ReadOptions, group_rows


def read_bare_stacks(path: Path, options: ReadOptions) -> ParticleRecords:
    """Read every image of a stack, or of the stacks that a text file lists one per line.

    Paths in the list are relative to it. The pixel size comes from the headers.
    """
    if path.suffix == ".txt":
        names = _read_list(path)
        layouts = locate_stacks(list(dict.fromkeys(names)), path, options.images_dir)
        by_name = dict(zip(dict.fromkeys(names), layouts, strict=True))
        layouts = [by_name[name] for name in names]
    else:
        names, layouts = (path.name,), [read_layout(path)]
    check_square(layouts)
    counts = [layout.shape[0] for layout in layouts]
    stack_of = np.repeat(np.arange(len(layouts), dtype=np.int32), counts)
    index = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    if not len(index):
        raise CryoswayError(f"{path.name} holds no images; give a stack that has some")
    check_places(path, layouts, stack_of, index)
    pixel_size = _read_pixel_sizes(path, layouts, options)[stack_of]
    if options.need_ctf:
        warn_no_ctf(path, "a bare stack")
    boxes = np.array([layout.shape[2] for layout in layouts])[stack_of]
    groups = group_rows([pixel_size, boxes])
    ctf = pd.DataFrame({**NO_CTF, "pixel_size": pixel_size, "optics_group": groups})
    return ParticleRecords(tuple(names), ImageStore(layouts), stack_of, index, ctf, has_ctf=False)


def _read_list(path: Path) -> tuple[str, ...]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise CryoswayError(f"{path.name} lists no stacks; write one path per line")
    return names


def _read_pixel_sizes(
    path: Path, layouts: list[MrcLayout], options: ReadOptions
) -> npt.NDArray[np.float64]:
    sizes = np.array([layout.voxel_size[0] for layout in layouts])
    unknown = sizes <= 0
    if unknown.any() and options.need_ctf and not options.accept_defaults:
        name = layouts[int(np.flatnonzero(unknown)[0])].path.name
        message = (
            f"the header of {name} (listed by {path.name}) gives no pixel size; pass ctf= (--ctf), "
            "or accept_defaults=True (--accept-defaults) to use 1 Å"
        )
        raise CryoswayError(message)
    return np.where(unknown, 1.0, sizes)
