"""Pictures of maps: one scale for all, the change where it is, GIFs that move."""

import io

import numpy as np
import pytest
from PIL import Image

from cryosway.report import (
    _morph,
    animate_morph,
    draw_difference,
    draw_local_resolution,
    draw_map,
    draw_maps,
    draw_morph_strip,
    figure_png,
    plot_slices,
)
from cryosway.report._map_figures import difference_level
from cryosway.report._morph import BETWEEN
from cryosway.report._slices import central_slices, grey_limits, round_length


@pytest.fixture
def states(blobs):
    shares = (0.0, 0.5, 1.0)
    first, last = blobs([(0, 0, 0), (6, 0, 0)]), blobs([(0, 0, 0), (0, 6, 0)])
    return [(1 - share) * first + share * last for share in shares]


def read_texts(figure):
    return [text.get_text() for axis in figure.axes for text in (axis.title, *axis.texts)]


def test_every_map_has_its_caption_and_two_views(states):
    figure = draw_maps({"a\n12 particles": states[0], "b": states[2]}, 3.0)
    assert sum(bool(axis.images) for axis in figure.axes) == 4
    texts = read_texts(figure)
    assert "12 particles" in texts
    assert any(text.startswith("b") for text in texts)
    assert any(text.endswith(" Å") for text in texts), "a scale bar"


def test_all_maps_of_a_figure_have_one_scale(states):
    figure = draw_morph_strip(states, 3.0, ["1", "2", "3"])
    extents = {tuple(axis.images[0].get_extent()) for axis in figure.axes if axis.images}
    assert len(extents) == 1


def test_gained_density_is_blue_and_lost_density_red(states):
    figure = draw_difference(states[0], states[2], 3.0)
    picture = np.asarray(next(axis.images[0].get_array() for axis in figure.axes if axis.images))
    solid = picture[picture[..., 3] > 200][:, :3].astype(int)
    assert (solid[:, 0] > solid[:, 2] + 40).sum() > 100
    assert (solid[:, 2] > solid[:, 0] + 40).sum() > 100


def test_nothing_is_drawn_where_the_difference_is_noise(blobs):
    rng = np.random.default_rng(0)
    mean = blobs([(0, 0, 0)])
    noise = 0.01 * rng.normal(size=mean.shape)
    assert difference_level(noise, mean) > 0.03


def test_local_resolution_has_a_colour_bar_in_angstrom(states):
    figure = draw_local_resolution(states[0], np.full((32, 32, 32), 7.0), 3.0)
    assert "local resolution (Å)" in [axis.get_ylabel() for axis in figure.axes]


def test_the_animation_runs_to_and_fro(states):
    data = animate_morph(states, 3.0, pixels=48)
    movie = Image.open(io.BytesIO(data))
    assert movie.size == (96, 48)
    assert movie.n_frames == 2 * (2 * BETWEEN + 1) - 2
    frames = []
    for number in range(movie.n_frames):
        movie.seek(number)
        frames.append(np.asarray(movie.convert("RGB"), int))
    middle = len(frames) // 2
    assert np.abs(frames[0] - frames[middle]).max() > 100
    np.testing.assert_array_equal(frames[1], frames[-1])


def test_a_movie_that_would_be_large_is_drawn_smaller(states, monkeypatch):
    monkeypatch.setattr(_morph, "MOST_BYTES", 10)
    assert Image.open(io.BytesIO(animate_morph(states, 3.0, pixels=48))).size == (48, 24)


def test_pictures_are_the_same_each_time(states):
    assert animate_morph(states, 3.0, pixels=32) == animate_morph(states, 3.0, pixels=32)
    first, second = (figure_png(draw_map(states[0], 3.0)) for _ in range(2))
    assert first == second


def test_slices_pass_through_the_origin_voxel():
    volume = np.zeros((8, 8, 8))
    volume[4, 4, 4] = 1.0
    for slab in central_slices(volume).values():
        assert slab[4, 4] == 1.0


def test_slices_share_one_grey_scale(states):
    figure = plot_slices({"a": states[0], "b": 2 * states[2]}, 3.0)
    limits = {axis.images[0].get_clim() for axis in figure.axes if axis.images}
    assert limits == {grey_limits([states[0], 2 * states[2]])}


@pytest.mark.parametrize(("length", "expected"), [(34.0, 20), (50.0, 50), (0.9, 0.5), (199, 100)])
def test_scale_bars_have_round_lengths(length, expected):
    assert round_length(length) == pytest.approx(expected)
