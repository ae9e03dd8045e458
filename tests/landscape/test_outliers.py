"""What is flagged: planted junk, with its reason; not rare states, rings or uncertain particles."""

import numpy as np
import pandas as pd
import pytest

from cryosway.landscape import find_far, flag_outliers

N = 6000


def draw(kind, rng):
    if kind == "cloud":
        return rng.normal(size=(N, 3)) * [4, 2, 1]
    if kind == "ring":
        turn = rng.uniform(0, 2 * np.pi, N)
        return np.stack([8 * np.cos(turn), 8 * np.sin(turn)], 1) + rng.normal(size=(N, 2))
    rare = rng.random(N) < 0.02
    return rng.normal(size=(N, 2)) + np.where(rare, 25.0, 0.0)[:, None]


@pytest.mark.parametrize("kind", ["cloud", "ring", "rare state"])
def test_few_good_particles_are_flagged(kind):
    points = draw(kind, np.random.default_rng(1))
    assert find_far(points, np.ones_like(points)).mean() < 0.003


def test_junk_is_found_among_them():
    rng = np.random.default_rng(2)
    points = draw("ring", rng)
    points[:40] = 40 * rng.normal(size=(40, 2))
    away = np.abs(np.linalg.norm(points, axis=1) - 8) > 8
    flagged = find_far(points, np.ones_like(points))
    assert flagged[away].mean() > 0.9


def test_who_is_uncertain_may_be_farther_away():
    rng = np.random.default_rng(3)
    sd = np.ones((N, 2))
    points = rng.normal(size=(N, 2))
    points[0], points[1] = (12.0, 0.0), (12.0, 0.0)
    sd[1] = 6.0
    flagged = find_far(points, sd)
    assert flagged[0] and not flagged[1]


def test_reasons():
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {"log_likelihood": rng.normal(size=N), "contrast": 1 + 0.1 * rng.normal(size=N)}
    )
    table.loc[3, "log_likelihood"], table.loc[4, "contrast"] = -30.0, 0.05
    table.loc[5, ["log_likelihood", "contrast"]] = (-30.0, 4.0)
    table.loc[6, "log_likelihood"] = 30.0  # well explained is no fault
    points = rng.normal(size=(N, 2))
    points[5] = 50.0
    told = flag_outliers(table, points, np.ones_like(points))
    assert told[3:7].tolist() == ["likelihood", "contrast", "latent+likelihood+contrast", ""]
    assert (told != "").mean() < 0.003


def test_what_is_not_known_flags_nothing():
    table = pd.DataFrame({"contrast": np.ones(50)})
    assert (flag_outliers(table, np.empty((50, 0))) == "").all()
