"""Small simulated sets of adenylate kinase, with their truth."""

import numpy as np
import pytest

from cryosway.particles import StackWriter, read_map, read_particles
from cryosway.simulate import adenylate_kinase_states
from cryosway.simulate import simulate as simulate_images

BOX, LENGTH = 32, 144.0  # pixels, Å


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Methods take all CPUs by default; tests run side by side and must not fight for cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryosway.engine._hardware.count_cpus", lambda: 1)
        yield


@pytest.fixture(scope="session")
def make_set(tmp_path_factory):
    def make(states=1, n=600, **settings):
        chosen = adenylate_kinase_states(2)[:states]
        defaults = {"box": BOX, "pixel_size": LENGTH / BOX, "dtype": "float32"}
        settings = {**defaults, "snr": 0.2, "shift": 10.0, "seed": 1, **settings}
        folder = tmp_path_factory.mktemp("set")
        return simulate_images(chosen, folder / "set", n=n, threads=1, **settings)

    return make


@pytest.fixture(scope="session")
def one_state(make_set):
    """600 images of closed adenylate kinase, noise of variance 1."""
    return make_set()


@pytest.fixture(scope="session")
def two_states(make_set):
    """600 images of closed and open adenylate kinase in equal numbers."""
    return make_set(2)


@pytest.fixture(scope="session")
def true_map(one_state):
    return read_map(one_state.volumes[0])[0]


@pytest.fixture(scope="session")
def rewrite(tmp_path_factory):
    """Write a set's images anew, changed, with the same metadata."""

    def write(simulated, change):
        particles = read_particles(simulated.particles)
        folder = tmp_path_factory.mktemp("changed")
        images = change(particles.images(), particles)
        with StackWriter(
            folder / "particles.mrcs", BOX, LENGTH / BOX, "float32", len(images)
        ) as stack:
            stack.write(images.astype(np.float32))
        (folder / "particles.star").write_text(simulated.particles.read_text())
        return read_particles(folder / "particles.star")

    return write
