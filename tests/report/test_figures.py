"""Every plot names its quantities with units, shows the data, and is the same each time."""

import numpy as np
import pandas as pd
import pytest

from cryosway.report import (
    figure_png,
    plot_defocus,
    plot_embedding,
    plot_free_energy,
    plot_fsc,
    plot_latent_density,
    plot_matched_maps,
    plot_noise,
    plot_populations,
    plot_programs,
    plot_shifts,
    plot_spectrum,
    plot_views,
)
from cryosway.report._latent import FEW
from cryosway.report._painting import paint_categories
from cryosway.report._style import QUALITATIVE, state_colours

FREQUENCY = np.arange(16) / 96
SPECTRUM = {
    "variance_explained": [0.4, 0.1, 0.02],
    "noise_alone": [0.03, 0.02, 0.02],
    "p_value": [0.0001, 0.02, 0.6],
}
FSC = [
    {"label": "unmasked", "frequency_per_angstrom": FREQUENCY, "value": np.linspace(1, 0, 16)},
    {
        "label": "masked, corrected",
        "frequency_per_angstrom": FREQUENCY,
        "value": np.linspace(1, 0.1, 16),
        "resolution_angstrom": 6.54,
    },
]
NOISE = [{"optics_group": 1, "frequency_per_angstrom": FREQUENCY, "power": 1 + FREQUENCY}]

FIGURES = {
    "spectrum": lambda particles: plot_spectrum(SPECTRUM),
    "latents": lambda particles: plot_latent_density(particles),
    "one latent": lambda particles: plot_latent_density(particles[["z1", "cluster"]]),
    "embedding": lambda particles: plot_embedding(particles),
    "populations": lambda particles: plot_populations(particles),
    "views": lambda particles: plot_views(particles),
    "defocus": lambda particles: plot_defocus(particles),
    "shifts": lambda particles: plot_shifts(particles),
    "fsc": lambda particles: plot_fsc(FSC),
    "noise": lambda particles: plot_noise(NOISE),
}


@pytest.fixture(params=FIGURES)
def draw(request, particles):
    return lambda: FIGURES[request.param](particles)


def test_both_axes_of_every_plot_have_labels_with_units(draw):
    for axis in draw().axes:
        labels = [label for label in (axis.get_xlabel(), axis.get_ylabel()) if label]
        assert labels
        assert all(label.endswith(")") and "(" in label for label in labels)


def test_the_same_data_give_the_same_picture(draw):
    assert figure_png(draw()) == figure_png(draw())


def test_the_spectrum_shows_every_component_and_its_significance():
    axis = plot_spectrum(SPECTRUM).axes[0]
    heights = [bar.get_height() for bar in axis.patches]
    np.testing.assert_allclose(heights, [40, 10, 2])
    assert [text.get_text() for text in axis.texts] == ["p < 0.001", "p = 0.02", "p = 0.6"]
    colours = [bar.get_facecolor() for bar in axis.patches]
    assert colours[0] != colours[1] == colours[2]  # significant is p < 0.01


def test_a_spectrum_is_of_the_power_of_the_map():
    """Which may be less than what varies."""
    axis = plot_spectrum({"variance_explained": [5.0, 2.0]}).axes[0]
    assert axis.get_ylabel() == "variance (% of the map's power)"
    assert [bar.get_height() for bar in axis.patches] == [500, 200]


def test_the_fsc_plot_has_the_threshold_and_names_the_resolution():
    axis = plot_fsc(FSC).axes[0]
    levels = [line.get_ydata()[0] for line in axis.lines if len(set(line.get_ydata())) == 1]
    assert 0.143 in levels
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    assert legend == ["unmasked", "masked, corrected: 6.5 Å"]


def test_populations_are_counted(particles):
    axis = plot_populations(particles).axes[0]
    counts = particles["cluster"].value_counts().sort_index()
    np.testing.assert_array_equal([bar.get_height() for bar in axis.patches], counts)


def test_defocus_is_shown_in_micrometres():
    table = pd.DataFrame({"defocus_u": [10_000.0] * 9, "defocus_v": [10_000.0] * 9})
    axis = plot_defocus(table).axes[0]
    tallest = max(axis.patches, key=lambda bar: bar.get_height())
    assert tallest.get_x() <= 1.0 <= tallest.get_x() + tallest.get_width()


def test_many_particles_are_painted_not_dotted(particles):
    many = pd.concat([particles] * (FEW // len(particles) + 1), ignore_index=True)
    for table, dotted in ((particles, True), (many, False)):
        axis = plot_latent_density(table).axes[1]
        assert bool(axis.collections) == dotted


def test_paint_mixes_by_counts_whatever_the_order():
    """Where one kind is ten times denser, the cell has nearly its colour, drawn first or last."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 11_000)) * 0.02
    labels = np.repeat([0, 1], [10_000, 1000])
    colours = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    for order in (labels, 1 - labels):
        paint = paint_categories(x, y, order, colours[[0, 1]] if order is labels else colours[::-1],
                                 (-1, 1, -1, 1))  # fmt: skip
        middle = paint[paint.shape[0] // 2, paint.shape[1] // 2]
        assert middle[0] == pytest.approx(10 / 11, abs=0.05)


def test_state_colours_are_distinct_for_any_number():
    for count in (1, len(QUALITATIVE), 30):
        assert len(set(state_colours(count))) == count


def test_energies_that_fall_again_at_the_edge_are_not_shown():
    """Junk beyond the grid is seen in its last cells."""
    energy = np.array([2.5, 4.0, 5.0, 1.0, 0.0, 1.5, 7.0, 8.0, 3.0])
    profile = {"direction": 1, "coordinate": np.arange(9.0), "energy": energy,
               "low": energy - 0.1, "high": energy + 0.1}  # fmt: skip
    found = {"profiles": [profile], "plane": None, "states": [], "coverage": 0.9}
    assert plot_free_energy(found).axes[0].get_xlim() == (2.0, 7.0)
    energy[0] = 0.5  # a basin at the edge is one
    assert plot_free_energy(found).axes[0].get_xlim() == (0.0, 7.0)


def test_four_panels_are_two_by_two():
    profile = {"direction": 1, "coordinate": [0.0, 1.0], "energy": [0.0, 1.0], "low": [0.0, 1.0],
               "high": [0.0, 1.0]}  # fmt: skip
    found = {"profiles": [profile] * 4, "plane": None, "states": [], "coverage": 0.9}
    figure, alone = plot_free_energy(found), plot_free_energy(found | {"profiles": [profile]})
    assert figure.get_figheight() > 1.4 * alone.get_figheight()
    assert len({round(axis.get_position().x0, 1) for axis in figure.axes}) == 2


def test_a_number_does_not_cover_a_small_cluster():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 500), rng.normal(6, 0.05, 50)])
    table = pd.DataFrame({"umap1": x, "umap2": x, "cluster": 1 + (x > 4)})
    texts = {t.get_text(): t for t in plot_embedding(table).axes[1].texts}
    assert texts["1"].get_position() == (0, 0)
    assert texts["2"].get_position() != (0, 0)


def test_a_cluster_in_two_parts_is_numbered_on_both():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-8, 1, 200), rng.normal(8, 1, 200), rng.normal(0, 1, 300)])
    y = np.where(np.abs(x) > 4, 0.0, 10.0) + rng.normal(0, 1, 700)
    table = pd.DataFrame({"umap1": x, "umap2": y, "cluster": 1 + (np.abs(x) < 4)})
    texts = plot_embedding(table).axes[1].texts
    assert sorted(text.get_text() for text in texts) == ["1", "1", "2"]
    assert sorted(round(text.xy[0] / 8) for text in texts) == [-1, 0, 1]


def test_contours_and_legend_stay_clear_of_the_frame_and_the_curves():
    grid = np.linspace(-10, 10, 41)
    energy = np.minimum(np.add.outer(grid**2, grid**2) * 0.5, 20.0)
    profile = {"direction": 1, "coordinate": grid, "energy": energy[20], "low": energy[20],
               "high": energy[20]}  # fmt: skip
    plane = {"coordinates": [grid, grid], "energy": energy}
    found = {"profiles": [profile], "plane": plane, "states": [], "coverage": 0.9}
    figure = plot_free_energy(found)
    reach = np.sqrt(2 * 6.0)  # of 6 kT
    assert figure.axes[0].get_xlim()[0] < -reach
    assert figure.axes[0].get_ylim()[1] > reach
    assert figure.legends
    assert not any(axis.get_legend() for axis in figure.axes)


def test_the_lines_of_programs_have_a_legend():
    figure = plot_programs({"a": [("x", 0.4, 0.1)]}, {"a": 0.3}, {"a": 0.5})
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["mean of the true maps", "largest possible"]


def test_matched_maps_have_a_scale_bar_and_no_gap(blobs):
    volume = blobs([(0, 0, 0)])
    figure = plot_matched_maps({"a": [volume, volume], "b": [volume, volume]}, 3.0)
    figure.draw_without_rendering()
    left, right = (axis.get_window_extent() for axis in figure.axes[:2])
    assert right.x0 - left.x1 < 0.1 * left.width
    assert any(text.get_text() == "20 Å" for axis in figure.axes for text in axis.texts)
