"""Pictures of the language model show the numbers that they are given."""

import numpy as np
import pytest

from cryosway.report import draw_contacts, draw_mutations, draw_perplexity, figure_png


def test_the_course_ends_at_its_last_value():
    figure = draw_perplexity([10, 20], [17.5, 17.1], [15.0, 14.5], 17.9)
    axes = figure.axes[0]
    assert axes.get_title("left") == "held out: 17.10"
    assert axes.lines[0].get_ydata().tolist() == [17.5, 17.1]
    assert "frequencies only: 17.90" in [text.get_text() for text in axes.get_legend().texts]


def test_mutations_are_drawn_in_rows_of_a_hundred():
    letters = "ACDEFGHIKLMNPQRSTVWY"
    sequence = letters * 6 + "X"
    scores = np.random.default_rng(0).normal(size=(121, 20))
    figure = draw_mutations("p", sequence, letters, scores)
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_xlim()[1] > 2]
    assert [image.get_array().shape for image in images[:2]] == [(20, 100), (20, 21)]
    dots = figure.axes[1].lines[0].get_xydata()
    assert len(dots) == 20  # X is none of the letters
    assert dots[3].tolist() == [104, 3]


def test_contacts_lie_below_the_diagonal_and_predictions_above():
    probabilities = np.full((30, 30), 0.25)
    distances = np.full((30, 30), 20.0)
    distances[20, 5] = distances[5, 20] = 5.0
    distances[25, 3] = np.nan
    shown = draw_contacts("p", probabilities, distances, "note").axes[0].images[0].get_array()
    assert shown[20, 5] == 1 and shown[25, 3] == 0 and shown[21, 5] == 0
    assert (shown[np.triu_indices(30)] == 0.25).all()
    alone = draw_contacts("p", probabilities, None).axes[0]
    assert (alone.images[0].get_array() == 0.25).all() and alone.get_title("left") == "p"


@pytest.mark.parametrize("length", [1, 100])
def test_pictures_are_encoded(length):
    scores = np.zeros((length, 20))
    assert figure_png(draw_mutations("p", "A" * length, "ACDEFGHIKLMNPQRSTVWY", scores))[:4] == (
        b"\x89PNG"
    )
