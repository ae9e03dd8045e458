"""Where pixels lie, whatever wrote the file."""

import mrcfile
import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.particles import read_layout

MAP_OFFSET, STAMP_OFFSET = 208, 212


def patch(path, offset, content):
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(bytes(data))


def swap_bytes(path, order):
    """The bytes of an MRC file in the byte order given, written independently of cryosway."""
    with mrcfile.open(path) as file:
        header = np.array(file.header).astype(file.header.dtype.newbyteorder(order))
        data = file.data.astype(file.data.dtype.newbyteorder(order))
    header["machst"] = (0x11, 0x11, 0, 0) if order == ">" else (0x44, 0x44, 0, 0)
    return header.tobytes() + data.tobytes()


def read_stack(path):
    return cs.read_particles(path, accept_defaults=True).images()


pytestmark = pytest.mark.filterwarnings("ignore:.*taken to have no CTF")


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "uint16", "float16"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_modes_and_byte_orders(make, dtype, order):
    images = make.rng.normal(0, 40, (3, 8, 8)) + (100 if dtype == "uint16" else 0)
    images = images.clip(0, None) if dtype == "uint16" else images
    expected = make.stack("a.mrcs", images=images, dtype=dtype)
    path = make.folder / "b.mrcs"
    path.write_bytes(swap_bytes(make.folder / "a.mrcs", order))
    with mrcfile.open(path) as file:
        np.testing.assert_array_equal(file.data, expected)
    assert read_layout(path).dtype.newbyteorder("=") == np.dtype(dtype)
    swapped = np.frombuffer(path.read_bytes()[:4], f"{order}i4")[0] == 8
    assert swapped  # the header really is in that order
    np.testing.assert_array_equal(read_stack(path), expected)


@pytest.mark.parametrize("stamp", [b"\0\0\0\0", b"DDDD", b"\x11\x11\0\0", b"xyzw"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bad_machine_stamps_are_tolerated(make, stamp, order):
    path = make.folder / "a.mrcs"
    images = make.stack("a.mrcs", count=2)
    path.write_bytes(swap_bytes(path, order))
    patch(path, STAMP_OFFSET, stamp)
    patch(path, MAP_OFFSET, b"\0\0\0\0")
    np.testing.assert_array_equal(read_stack(path), images)


def test_extended_header_is_skipped(make):
    expected = make.stack("a.mrcs")
    with mrcfile.open(make.folder / "a.mrcs", "r+") as file:
        file.set_extended_header(np.frombuffer(b"x" * 160, "V80"))
    assert read_layout(make.folder / "a.mrcs").offset == 1024 + 160
    np.testing.assert_array_equal(read_stack(make.folder / "a.mrcs"), expected)


def test_wrong_kinds_are_refused(make):
    (make.folder / "text.mrcs").write_text("not an image " * 200)
    with pytest.raises(CryoswayError, match=r"text\.mrcs is not an MRC file"):
        read_layout(make.folder / "text.mrcs")
    (make.folder / "short.mrcs").write_bytes(b"x" * 10)
    with pytest.raises(CryoswayError, match="only 10 bytes"):
        read_layout(make.folder / "short.mrcs")
    make.stack("c.mrcs")
    patch(make.folder / "c.mrcs", 12, (4).to_bytes(4, "little"))
    with pytest.raises(CryoswayError, match=r"holds a Fourier transform \(MRC mode 4\)"):
        read_layout(make.folder / "c.mrcs")
    (make.folder / "z.mrcs").write_bytes(b"\x1f\x8b" + b"0" * 2000)
    with pytest.raises(CryoswayError, match="is compressed"):
        read_layout(make.folder / "z.mrcs")
    with pytest.raises(CryoswayError, match=r"cannot read .*none"):
        read_layout(make.folder / "none.mrcs")


def test_truncated_stack(make):
    make.stack(count=6)
    path = make.star()
    stack = make.folder / "s.mrcs"
    stack.write_bytes(stack.read_bytes()[: 1024 + 4 * 256 + 100])
    sentence = r"p\.star row 5 \(and 1 more rows\): image 5 of .* the stack is cut short \(4 of 6"
    with pytest.raises(CryoswayError, match=sentence):
        cs.read_particles(path)
    rows = make.rows()[:4]
    with pytest.warns(CryoswayWarning, match="cut short: 4 of 6 images; none of the missing"):
        p = cs.read_particles(make.star(rows=rows))
    assert p.images().shape == (4, 8, 8)


def test_images_that_are_not_square(make):
    make.stack("r.mrcs", images=np.zeros((2, 8, 10)))
    with pytest.raises(CryoswayError, match=r"10 × 8 px; only square"):
        cs.read_particles(make.folder / "r.mrcs")
