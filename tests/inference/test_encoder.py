"""What an encoder sees of an image, and that it starts from what is known."""

import numpy as np
import pytest
import torch

from cryosway.inference import Encoder, EncoderSpec, EncoderView
from cryosway.optics import fft2_half, make_disc
from cryosway.volumes import Slices

BOX = 32


def blob(x=0.0, y=0.0, width=3.0):
    axis = torch.arange(BOX) - BOX // 2
    return torch.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * width**2))


def as_slices(images, ctf):
    disc = make_disc(BOX, BOX // 2 - 1)
    values = disc.pack(fft2_half(images))
    filters = ctf(disc.frequencies.norm(dim=1)).expand(len(images), -1)
    points = disc.points.float()
    return Slices(values * filters, filters, torch.eye(3).expand(len(images), 3, 3), points)


def make_view(signal=1e4, **settings):
    spec = EncoderSpec(**{"box": 16, "latent_dim": 2, "width": 32, **settings})
    view = EncoderView(spec, make_disc(BOX, BOX // 2 - 1), torch.full((BOX // 2,), signal))
    return spec, view


def correlate(a, b):
    return float(np.corrcoef(a.flatten(), b.flatten())[0, 1])


@pytest.mark.parametrize("correction", ["wiener", "flip"])
def test_the_ctf_is_undone(correction):
    """Under a CTF that changes sign the view resembles the object, the raw image does not."""
    _, view = make_view(correction=correction, window=1.0)
    obj = blob(3, -2, 1.5)[None]
    slices = as_slices(obj, lambda s: torch.cos(40 * s))
    seen = view.as_images(view(slices))[0, 0]
    expected = torch.nn.functional.avg_pool2d(obj[None], 2)[0, 0]
    assert correlate(seen, expected) > 0.7
    assert int(seen.argmax()) == (8 - 1) * 16 + 8 + 1  # (x, y) = (3, −2) of 32 px is (1.5, −1)


def test_wiener_weighs_shells_by_what_is_known_of_them():
    """Noise alone has less power where there is less signal; flipping keeps it all."""
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(40, BOX, BOX, generator=g) / BOX  # E|n|² = 1 per coefficient
    slices = as_slices(noise, lambda s: torch.ones_like(s))
    power = {}
    for signal in (1.0, 0.01):
        _, view = make_view(signal=signal)
        power[signal] = view(slices).square().mean().item()
    assert power[0.01] < 0.1 * power[1.0]
    flipped = make_view(correction="flip")[1](slices).square().mean().item()
    assert flipped == pytest.approx(1.0, rel=0.1)


def test_pixels_outside_the_disc_are_not_seen():
    _, view = make_view(window=0.6)
    assert view.size == pytest.approx(np.pi * (0.6 * 8) ** 2, rel=0.1)
    images = view.as_images(torch.ones(1, view.size))[0, 0]
    assert images[8, 8] == 1
    assert images[0, 0] == 0
    assert images[8, 1] == 0


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_an_untrained_encoder_gives_the_start(kind):
    spec, view = make_view(kind=kind)
    encoder = Encoder(spec, view)
    start = torch.randn(3, 2, 2)
    mean, log_variance = encoder(torch.randn(3, view.size), start)
    torch.testing.assert_close(mean, start[:, 0])
    torch.testing.assert_close(log_variance, start[:, 1])


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_an_encoder_learns_where_a_blob_is(kind):
    """Trained on blobs it tells the place of new ones: R² above 0.9."""
    torch.manual_seed(0)
    spec, view = make_view(kind=kind, width=64)
    encoder = Encoder(spec, view)
    g = torch.Generator().manual_seed(1)
    places = 8 * torch.rand(300, 2, generator=g) - 4
    images = torch.stack([blob(*place) for place in places.tolist()])
    pixels = view(as_slices(images, lambda s: torch.ones_like(s)))
    pixels = pixels / pixels.std()
    start = torch.zeros(300, 2, 2)
    optimiser = torch.optim.Adam(encoder.parameters(), 2e-3)
    for _ in range(120):
        loss = (encoder(pixels[:200], start[:200])[0] - places[:200] / 3).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = encoder(pixels[200:], start[200:])[0]
    left = (found - places[200:] / 3).square().mean() / (places[200:] / 3).var()
    assert left.item() < 0.1
