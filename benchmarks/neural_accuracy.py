"""Quality against CPU time: cryoDRGN's `train_vae`, and `cryosway` linear, vae and autodecoder.

Of every hundredth image, the map at the image's own latent is compared with the true map of its
state (CryoBench's per-image AUC-FSC, masked and unmasked). CryoDRGN is trained once and its
checkpoints are scored, with maps made by its own `eval_vol`; what it has done is kept, so that a
stopped run goes on when the same command is given again. Ours is trained anew for each number of
epochs, as the learning rate follows from it, and is charged for the linear model it starts from.

    python benchmarks/neural_accuracy.py --peer-env ~/cryodrgn-4.3.1 --sets assembly hinge
"""

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from _cryodrgn import PeerTraining, require_peer, write_peer_input
from _measure import make_parser, method_command, parse_options, write_result
from _neural_sets import BUILDERS, NeuralSet
from _scoring import FloatArray, IntArray
from adk_accuracy import score_consensus, score_job
from backproject_vs_cryodrgn import PEER_REQUIREMENTS

import cryosway as cs
from cryosway.engine import Cost, read_json, recall_cost, run_measured, set_threads
from cryosway.validate import MASK_RULE, MapScorer, compare_scores, score_indices, summarise_scores

RESULT = "neural_accuracy"
METHODS = ("linear", "vae", "autodecoder")
PEER = "cryodrgn"
PEER_EPOCHS = (1, 2, 4, 8, 12, 16, 20)  # scored; 20 is cryoDRGN's default
OWN_EPOCHS = (1, 3, 20)
USUAL_NETWORK = (256, 3)  # width and layers


@dataclass(frozen=True)
class Point:
    """One trained model: what it cost and what it is worth.

    Attributes
    ----------
    method, seed, epochs
        What was run; 0 epochs where the method has none.
    cpu_s
        CPU seconds, all that it needs included.
    scores
        Shape (n, 2): masked and unmasked AUC-FSC of the scored images.
    latents
        See `judge_latents`.
    """

    method: str
    seed: int
    epochs: int
    cpu_s: float
    scores: FloatArray
    latents: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self, consensus: FloatArray) -> dict[str, Any]:
        """As written into the result."""
        plain = {k: v for k, v in asdict(self).items() if k != "scores"}
        return {
            **plain,
            **summarise_scores(self.scores),
            "over_consensus": compare_scores(self.scores, consensus),
            "per_image": self.scores,
        }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--sets", nargs="+", choices=BUILDERS, default=list(BUILDERS))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--scored", type=int, default=100, help="images whose maps are scored")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,), help="of our networks")
    parser.add_argument("--epochs", type=int, nargs="+", default=OWN_EPOCHS, help="of ours")
    parser.add_argument("--latent-dim", type=int, default=8)
    parser.add_argument("--width", type=int, default=USUAL_NETWORK[0], help="of all networks")
    parser.add_argument("--layers", type=int, default=USUAL_NETWORK[1])
    parser.add_argument("--linear", nargs="*", default=[], help="options, as null_tests=2")
    parser.add_argument("--vae", nargs="*", default=[], help="options, as start=random")
    parser.add_argument("--autodecoder", nargs="*", default=[], help="options")
    parser.add_argument("--label", default="", help="name of this choice of options, in the result")
    parser.add_argument("--reuse", action="store_true", help="score fits that are there already")
    parser.add_argument("--peer-env", type=Path, help="environment of cryoDRGN; left out if absent")
    parser.add_argument("--make-peer-env", action="store_true", help="make it if it is missing")
    parser.add_argument("--peer-epochs", type=int, nargs="+", default=PEER_EPOCHS, help="to score")
    parser.add_argument(
        "--no-peer-training", action="store_true", help="score the checkpoints that are there"
    )
    parser.add_argument("--peer-seed", type=int, default=0)
    parser.add_argument("--peer-batch", type=int, default=16, help="cryoDRGN's default is 16")
    parser.add_argument("--plot", type=Path, help="PNG of quality against CPU time")
    return parser.parse_args()


class Bench:
    """Everything that is measured on one set.

    Parameters
    ----------
    name
        Of the set.
    arguments
        Of the command line.
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.set = NeuralSet.build(name, arguments.cache, arguments.images, arguments.data)
        self.indices = score_indices(len(self.set.states), arguments.scored)
        self.scorer: MapScorer = self.set.scorer()
        self.folder = arguments.cache / "neural_jobs" / self.set.made.path.name

    @property
    def scored_states(self) -> IntArray:
        """True states of the scored images."""
        return self.set.states[self.indices]

    # ------------------------------------------------------------------ ours

    def run_method(self, method: str, name: str, options: dict[str, Any]) -> tuple[cs.Job, Cost]:
        """Run a method of ours in a process of its own, or recall an earlier run."""
        out = self.folder / name
        log = out.with_suffix(out.suffix + ".log")
        earlier = recall_cost(log) if self.arguments.reuse and (out / "job.json").exists() else None
        if earlier is None:
            threads = self.arguments.threads
            command = method_command(method, self.set.made.particles, out, options, threads)
            earlier = run_measured(command, log, threads)
        return cs.open_job(out), earlier

    def run_linear(self) -> tuple[cs.Job, Cost]:
        """Run `cryosway linear` with its defaults."""
        options = {"seed": self.arguments.seed, **parse_options(self.arguments.linear)}
        return self.run_method("linear", "linear", options)

    def measure_linear(self, job: cs.Job, cost: Cost) -> Point:
        """Score the linear model."""
        return self.make_point("linear", self.arguments.seed, 0, cost.cpu_s, job)

    def measure_network(
        self, method: str, seed: int, epochs: int, linear: tuple[cs.Job, Cost]
    ) -> Point:
        """Train a network of ours and score it."""
        given = self.arguments
        options = {
            "latent_dim": given.latent_dim,
            "epochs": epochs,
            "width": given.width,
            "layers": given.layers,
            "seed": seed,
            **parse_options(getattr(given, method)),
        }
        before = 0.0
        if options.setdefault("start", "linear") == "linear":
            options["linear"] = linear[0].path
            before = linear[1].cpu_s
        name = "_".join(filter(None, [method, given.label, f"e{epochs}", f"s{seed}"]))
        job, cost = self.run_method(method, name, options)
        title = f"{method} {given.label}".strip()
        return self.make_point(title, seed, epochs, before + cost.cpu_s, job, asdict(cost))

    def make_point(
        self,
        method: str,
        seed: int,
        epochs: int,
        cpu_s: float,
        job: cs.Job,
        cost: dict[str, Any] | None = None,
    ) -> Point:
        """Score a job of ours."""
        scores, seconds = score_job(job, self.scorer, self.indices, self.scored_states)
        details = {"seconds_per_map": seconds, "cost": cost, "timings": job.info.get("timings")}
        judged = self.set.judge_latents(job.latents)
        return Point(method, seed, epochs, cpu_s, scores, judged, details)

    # ------------------------------------------------------------------ cryoDRGN

    def measure_peer(self, epochs: list[int]) -> list[Point]:
        """Train cryoDRGN as far as asked for and score its checkpoints."""
        given = self.arguments
        training = self._set_up_peer()
        if not given.no_peer_training:
            training.run(max(epochs))
        points = []
        for epoch in sorted(training.seconds.keys() & set(epochs)):
            latents = training.latents(epoch)
            volumes = training.evaluate(epoch, latents[self.indices])
            scores = self.scorer.score_all(volumes.__getitem__, self.scored_states)
            judged = self.set.judge_latents(latents)
            seconds = training.seconds[epoch]
            points.append(Point(self._peer_title, given.peer_seed, epoch, seconds, scores, judged))
            print_point(self.set.name, points[-1])
        return points

    @property
    def _peer_title(self) -> str:
        """CryoDRGN, and its network where it is not the usual one of this benchmark."""
        size = (self.arguments.width, self.arguments.layers)
        return PEER if size == USUAL_NETWORK else f"{PEER} {size[0]}×{size[1]}"

    def _set_up_peer(self) -> PeerTraining:
        given = self.arguments
        particles = cs.read_particles(self.set.made.particles)
        peer_input = write_peer_input(
            particles, self.set.made.stack, self.folder / "cryodrgn_input"
        )
        options = {
            "zdim": given.latent_dim,
            "enc-dim": given.width,
            "dec-dim": given.width,
            "enc-layers": given.layers,
            "dec-layers": given.layers,
            "batch-size": given.peer_batch,
            "seed": given.peer_seed,
        }
        name = f"cryodrgn_{given.width}x{given.layers}_b{given.peer_batch}_s{given.peer_seed}"
        out = self.folder / name
        return PeerTraining(given.peer_env, peer_input, out, options, given.threads)

    # ------------------------------------------------------------------ all

    def measure(self) -> dict[str, Any]:
        """Run and score everything that was asked for."""
        given = self.arguments
        linear = self.run_linear()
        set_threads(given.threads)
        consensus = score_consensus(linear[0], self.scorer, self.scored_states)
        points = []
        if "linear" in given.methods:
            points.append(self.measure_linear(*linear))
            print_point(self.set.name, points[-1])
        for method in (m for m in given.methods if m != "linear"):
            for seed in given.seeds:
                for epochs in sorted(given.epochs):
                    points.append(self.measure_network(method, seed, epochs, linear))
                    print_point(self.set.name, points[-1])
        if given.peer_env:
            points += self.measure_peer(list(given.peer_epochs))
        return {
            "set": self.set.name,
            "images": len(self.set.states),
            "scored": len(self.indices),
            "width": given.width,
            "layers": given.layers,
            "latent_dim": given.latent_dim,
            "consensus": summarise_scores(consensus),
            "perfect_latents": self.set.judge_perfect_latents(),
            "points": [point.to_json(consensus) for point in points],
        }


def print_point(name: str, point: Point) -> None:
    """Print one model's cost and scores."""
    scores, latents = summarise_scores(point.scores), point.latents
    states, poses, ctfs = (
        "/".join(f"{value:.2f}" for value in latents[what]) for what in ("state", "pose", "ctf")
    )
    print(
        f"{name:9} {point.method:22} seed {point.seed}  {point.epochs:3d} epochs  CPU "
        f"{point.cpu_s:8.0f} s  AUC-FSC {scores['masked']:.4f} ± {scores['masked_sd']:.4f} masked, "
        f"{scores['unmasked']:.4f} ± {scores['unmasked_sd']:.4f}; neighbours "
        f"{latents['neighbourhood_similarity']:.1f} % (chance {latents['chance']:.1f}); imbalance "
        f"state {states}, pose {poses}, CTF {ctfs}",
        flush=True,
    )


# ---------------------------------------------------------------------------- results


def merge_runs(path: Path, new: dict[str, Any]) -> list[dict[str, Any]]:
    """Earlier runs with the new one put in: points of the same training replace older ones."""
    runs = read_json(path)["runs"] if path.exists() else []
    same = [run for run in runs if (run["set"], run["images"]) == (new["set"], new["images"])]
    points = {name_point(point): point for run in [*same, new] for point in run["points"]}
    merged = {**new, "points": [points[key] for key in sorted(points)]}
    return [run for run in runs if run not in same] + [merged]


def name_point(point: dict[str, Any]) -> tuple[str, int, int]:
    """Method, seed and epochs."""
    return point["method"], point["seed"], point["epochs"]


def plot_runs(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw quality against CPU time, one panel for each set; every seed is a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = dict(zip((PEER, *METHODS), ("#d08a2e", "#8c8c8c", "#2a6f97", "#4b8f5a"), strict=True))
    figure, panels = plt.subplots(
        1, len(runs), figsize=(3.6 * len(runs), 3.6), layout="constrained", squeeze=False
    )
    for axes, run in zip(panels[0], runs, strict=True):
        lines: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for point in run["points"]:
            key = (point["method"], point["seed"])
            lines.setdefault(key, []).append((point["cpu_s"], point["masked"]))
        named = set()
        for (method, _), values in lines.items():
            label = None if method in named else method
            named.add(method)
            colour = colours.get(method.split()[0], "black")
            axes.plot(*zip(*sorted(values), strict=True), "o-", color=colour, label=label, ms=4)
        axes.axhline(run["consensus"]["masked"], color="#bbbbbb", ls=":", label="consensus")
        axes.set(xscale="log", xlabel="CPU seconds", title=run["set"])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("AUC-FSC to the image's true state, masked")
    panels[0][0].legend(frameon=False, fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def main() -> None:
    """Measure every set; print, plot and write the result after each."""
    arguments = parse_arguments()
    if arguments.peer_env:
        require_peer(arguments.peer_env, make=arguments.make_peer_env)
    for name in arguments.sets:
        run = Bench(name, arguments).measure()
        runs = merge_runs(arguments.results / f"{RESULT}.json", run)
        rules = {"mask": MASK_RULE, "peer": list(PEER_REQUIREMENTS), "threads": arguments.threads}
        write_result(arguments.results, RESULT, {**rules, "runs": runs})
        if arguments.plot:
            plot_runs(runs, arguments.plot)


if __name__ == "__main__":
    main()
