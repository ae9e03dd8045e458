"""Host memory of training `cryosway vae` as the number of images grows, and what streaming costs.

Each size is a data set of its own (adenylate kinase, 64 px, SNR 0.03), trained for one epoch with a
small network, since memory and not speed is asked for; images are read anew in every epoch
(``--image-memory 0``). What counts is memory of the process's own (resident and anonymous); pages
of the image file that the system keeps while there is room are told apart. Streaming means that an
image more costs less than the image itself.

Then the default network is trained on the smallest set twice, streaming and with all images kept in
memory: what its later epochs take either way is what streaming costs.

    python benchmarks/neural_memory.py --sizes 10000 100000
"""

import argparse
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from _datasets import build_adk
from _measure import make_parser, method_command, parse_options, write_result

import cryosway as cs
from cryosway.engine import run_measured, thread_limits

POLL_SECONDS = 0.2
NETWORK = {"width": 32, "layers": 1, "encoder_width": 32, "encoder_layers": 1, "latent_dim": 4}
BYTES_PER_PIXEL = 2  # of the float16 stack
EPOCHS = (1, 4)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 100_000))
    parser.add_argument("--streamed", type=int, default=3000, help="images of the timed runs")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--option", nargs="*", default=[], help="of vae, as start=linear")
    return parser.parse_args()


def watch_memory(command: list[str], log: Path, threads: int | None) -> dict[str, float]:
    """Run a command; give its largest memory in MB: all that is resident, and its own."""
    environment = os.environ | ({} if threads is None else thread_limits(threads))
    largest = {"resident_mb": 0.0, "own_mb": 0.0}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            now = read_memory(process.pid)
            largest = {name: max(most, now.get(name, 0.0)) for name, most in largest.items()}
            time.sleep(POLL_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return largest


def read_memory(process: int) -> dict[str, float]:
    """Memory of a process in MB; nothing when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split(":", 1) for line in lines)
    names = {"resident_mb": "VmRSS", "own_mb": "RssAnon"}
    kilobytes = {name: values.get(field, "0").split()[0] for name, field in names.items()}
    return {name: int(value) * 1024 / 1e6 for name, value in kilobytes.items()}


def shared_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of all runs."""
    return {
        "start": "random",
        "seed": arguments.seed,
        "device": "cpu",
        **parse_options(arguments.option),
    }


def measure_streaming(count: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of an epoch after the first, images streamed and images kept."""
    made = build_adk(arguments.cache, snr=0.03, n=count, data=arguments.data)
    images = cs.read_particles(made.particles)[: arguments.streamed]
    part = made.particles.with_name(f"first_{len(images)}.star")  # beside the images it names
    images.write(part)
    found = {}
    for name, memory in {"streamed": {"image_memory": 0}, "kept": {}}.items():
        seconds = {}
        for epochs in EPOCHS:
            out = arguments.cache / "jobs" / "neural_streaming" / f"{name}_{epochs}"
            out.parent.mkdir(parents=True, exist_ok=True)
            options = {"epochs": epochs, **memory, **shared_options(arguments)}
            command = method_command("vae", part, out, options, arguments.threads)
            run_measured(command, out.with_suffix(".log"), arguments.threads)
            seconds[epochs] = cs.open_job(out).info["timings"]["training"]
        found[name] = (seconds[EPOCHS[1]] - seconds[EPOCHS[0]]) / (EPOCHS[1] - EPOCHS[0])
    lost = 1 - found["kept"] / found["streamed"]
    print(f"an epoch of {len(images)} images: {found}; streaming loses {100 * lost:.0f} %")
    return {"images": len(images), **found, "lost": lost}


def measure(count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train on one size."""
    made = build_adk(arguments.cache, snr=0.03, n=count, data=arguments.data)
    out = arguments.cache / "jobs" / f"neural_memory_{made.path.name}"
    options = {
        **NETWORK,
        "epochs": 1,
        "batch_size": arguments.batch,
        "image_memory": 0,
        **shared_options(arguments),
    }
    command = method_command("vae", made.particles, out, options, arguments.threads)
    memory = watch_memory(command, out.with_suffix(out.suffix + ".log"), arguments.threads)
    print(
        f"{count:8d} images  own memory {memory['own_mb']:7.0f} MB, with pages of files "
        f"{memory['resident_mb']:7.0f} MB",
        flush=True,
    )
    return {"images": count, "stack_mb": made.stack.stat().st_size / 1e6, **memory}


def find_slope(runs: list[dict[str, Any]]) -> float | None:
    """Bytes of own memory that each image more costs."""
    if len(runs) < 2:
        return None
    small, large = runs[0], runs[-1]
    bytes_more = 1e6 * (large["own_mb"] - small["own_mb"])
    return float(bytes_more / (large["images"] - small["images"]))


def main() -> None:
    """Train on every size, print and write the result."""
    arguments = parse_arguments()
    runs = [measure(count, arguments) for count in sorted(arguments.sizes)]
    slope = find_slope(runs)
    image = 64 * 64 * BYTES_PER_PIXEL
    if slope is not None:
        print(f"an image more costs {slope:.0f} bytes; the image itself has {image}")
    result = {
        "runs": runs,
        "bytes_per_image": slope,
        "bytes_of_an_image": image,
        "streaming": measure_streaming(min(arguments.sizes), arguments),
        "options": parse_options(arguments.option),
    }
    write_result(arguments.results, "neural_memory", result)


if __name__ == "__main__":
    main()
