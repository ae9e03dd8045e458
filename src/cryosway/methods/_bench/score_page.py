"""What the report shows of a scoring: sentences, a table, pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryosway.engine import write_json
from cryosway.methods._bench.latent_scores import count_states
from cryosway.methods._bench.map_scores import MapScores
from cryosway.methods._bench.truth_set import TruthSet

_NAMES = {"state": "state", "pose": "pose", "ctf": "CTF"}


def write_page(
    folder: Path, truth: TruthSet, score: dict[str, Any], maps: MapScores | None
) -> None:
    """Write supplement.json and its pictures into a folder."""
    figures = [] if maps is None else _draw(folder, truth, score, maps)
    sentences = describe_score(score)
    page = {
        "title": f"{score['result']} on {score['set']}",
        "verdict": sentences,
        "sentences": [f"The mask: {score['mask']}."],
        "figures": figures,
        "header": ["measure", "value"],
        "rows": [[name, value] for name, value in list_numbers(score)],
    }
    write_json(folder / "supplement.json", page)


def _draw(
    folder: Path, truth: TruthSet, score: dict[str, Any], maps: MapScores
) -> list[dict[str, str]]:
    from cryosway.report import plot_map_scores, plot_state_shares, write_figure

    shares = [one / len(maps.rows) for one in count_states(truth, maps)]
    drawn = {
        "map_scores": plot_map_scores(
            truth.states[maps.rows], maps.images, maps.consensus, score["limit"]
        ),
        "state_shares": plot_state_shares(maps.candidates, *shares),
    }
    first = (
        f"Agreement of each scored image's map, and of the consensus ({maps.consensus_kind}), "
        "with the true map of its state."
    )
    second = "True states of the scored images, and the states that their maps are most like."
    for name, figure in drawn.items():
        write_figure(folder / "figures" / f"{name}.png", figure)
    return [
        {"file": f"figures/{name}.png", "caption": text}
        for name, text in zip(drawn, (first, second), strict=True)
    ]


def describe_score(score: dict[str, Any]) -> list[str]:
    """Say the scores in plain sentences."""
    said = [*_describe_maps(score)] if "images" in score else []
    if "populations" in score:
        found = score["populations"]
        said.append(
            f"{100 * found['right']:.0f} % of the maps are most like the true map of their own "
            f"state; for the populations of states to be right, "
            f"{100 * found['total_variation']:.0f} % of the maps would have to change state."
        )
    if "latents" in score:
        found, best = score["latents"], score["true_latents"]
        said.append(
            f"Latents share {found['neighbourhood_similarity']:.0f} % of their neighbours with the "
            f"truth (by chance {found['chance']:.0f} %, latents that are the truth "
            f"{best['neighbourhood_similarity']:.0f} %)."
        )
    if "clusters" in score:
        found = score["clusters"]
        said.append(
            f"Classes ({found['kind']}) have an adjusted Rand index of {found['ari']:.2f} with the "
            "true states (1: the same, 0: by chance)."
        )
    return said or ["This result holds nothing that could be scored."]


def _describe_maps(score: dict[str, Any]) -> Iterator[str]:
    images, gain, consensus = (score[key] for key in ("images", "over_consensus", "consensus"))
    yield (
        f"Maps of {score['scored']} images of {score['set']} agree with the true map of each "
        f"image's state to an area under the FSC of {images['masked']:.3f} ± "
        f"{images['masked_sd']:.3f} in the mask and {images['unmasked']:.3f} without; the "
        f"largest possible is {score['limit']:.3f}."
    )
    sure = abs(gain["difference"]) > 3 * gain["standard_error"]
    better = "better" if gain["difference"] > 0 else "worse"
    yield (
        f"The consensus ({consensus['kind']}) reaches {consensus['masked']:.3f}; maps of single "
        f"images are {better if sure else 'neither better nor worse for sure'} "
        f"({gain['difference']:+.3f} ± {gain['standard_error']:.3f})."
    )


def list_numbers(score: dict[str, Any]) -> list[tuple[str, str]]:
    """List every score by name, as in the report's table."""
    listed: list[tuple[str, str]] = []
    names = {
        "images": "AUC-FSC per image",
        "states": "AUC-FSC per state",
        "consensus": "AUC-FSC of the consensus",
        "true_consensus": "AUC-FSC of the mean of the true maps",
    }
    for key, name in names.items():
        if key in score:
            one = score[key]
            listed += [
                (f"{name}, {kind}", f"{one[kind]:.4f} ± {one[f'{kind}_sd']:.4f}")
                for kind in ("masked", "unmasked")
            ]
    for key, kind in (("over_consensus", "masked"), ("over_consensus_unmasked", "unmasked")):
        if key in score:
            one = score[key]
            listed.append(
                (
                    f"over the consensus, {kind} (± standard error)",
                    f"{one['difference']:+.4f} ± {one['standard_error']:.4f}",
                )
            )
    listed += _list_latents(score)
    if frame := score.get("frame"):
        listed.append(("turned into the frame of the truth by", f"{frame['turn_degrees']:.1f}°"))
    return listed


def _list_latents(score: dict[str, Any]) -> list[tuple[str, str]]:
    listed: list[tuple[str, str]] = []
    if "latents" in score:
        for kind, name in (("latents", "latents"), ("true_latents", "latents that are the truth")):
            one = score[kind]
            listed.append(
                (f"{name}: neighbours shared", f"{one['neighbourhood_similarity']:.1f} %")
            )
            listed += [
                (
                    f"{name}: information imbalance to {_NAMES[what]} and back",
                    " / ".join(f"{value:.2f}" for value in one[what]),
                )
                for what in ("state", "pose", "ctf")
            ]
    if "clusters" in score:
        listed += [
            (f"{name} of {score['clusters']['kind']}", f"{score['clusters'][key]:.3f}")
            for key, name in (
                ("ari", "adjusted Rand index"),
                ("ami", "adjusted mutual information"),
            )
        ]
    if "populations" in score:
        texts = {
            "right": "maps most like their own state",
            "distance": "mean distance of the state shown (1: of two images)",
            "total_variation": "populations: total variation",
            "earth_mover": "populations: earth mover's distance (1: of two images)",
        }
        listed += [(text, f"{score['populations'][key]:.3f}") for key, text in texts.items()]
    return listed
