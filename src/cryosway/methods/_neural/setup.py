"""From options and a start to networks, their training step and its plan."""

import numpy as np
import torch
from torch import Tensor

from cryosway.engine import TrainingPlan
from cryosway.inference import (
    Encoder,
    EncoderSpec,
    EncoderView,
    ImageSource,
    LatentTable,
    PoseTable,
)
from cryosway.methods._held_out import choose_held_out
from cryosway.methods._neural.start import NeuralStart
from cryosway.methods._neural.step import NeuralModules, NeuralSettings, NeuralStep
from cryosway.methods._options import AutodecoderOptions, VaeOptions
from cryosway.optics import make_disc
from cryosway.volumes import FieldSpec, NeuralField, NeuralVolume

NeuralOptions = VaeOptions | AutodecoderOptions
_ENCODER_BOX = 64
_WARMUP_STEPS = 100
_CLIP = 1.0
_KNOWN_LOG_VARIANCE = -3.0


def make_plan(options: NeuralOptions) -> TrainingPlan:
    """Give the plan of a training."""
    return TrainingPlan(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=_WARMUP_STEPS,
        clip_norm=_CLIP,
        seed=options.seed,
        precision=options.precision,
        time_limit_s=None if options.time_limit is None else 60 * options.time_limit,
        compile=options.compile,
        loader_threads=options.loader_threads,
    )


def make_step(source: ImageSource, start: NeuralStart, options: NeuralOptions) -> NeuralStep:
    """Build networks and tables, and the step that trains them on whitened particles.

    The same options, start and seed give the same networks.
    """
    box, count = source.particles.box, len(source)
    volume = build_volume(start, options)
    latent, view = _build_latent(box, start, options)
    poses = PoseTable(count, box) if options.refine_poses else None
    modules = NeuralModules(volume, latent, poses).to(source.device)
    settings = NeuralSettings(
        contrast_sd=start.contrast_sd,
        beta=options.beta,
        beta_warmup=options.beta_warmup / options.epochs,
        pose_warmup=options.pose_warmup,
        latent_scale=options.latent_rate if isinstance(options, AutodecoderOptions) else 1.0,
        pose_scale=options.pose_rate,
        pose_sd=options.pose_sd,
    )
    held = choose_held_out(count, options.held_out, options.seed)
    chosen = np.setdiff1d(np.arange(count), held)
    return NeuralStep(modules, source, view, start.latents, settings, chosen)


def build_volume(start: NeuralStart, options: NeuralOptions) -> NeuralVolume:
    """Build an untrained network on its base."""
    generator = torch.Generator().manual_seed(options.seed)
    names = ("latent_dim", "width", "layers", "encoding", "encoding_dim", "feature_sigma")
    chosen = {name: getattr(options, name) for name in (*names, "domain", "conditioning")}
    spec = FieldSpec(box=start.mask.shape[-1], **chosen)
    field = NeuralField(spec, generator, _spread_anchors(start.mask, spec.anchors, generator))
    if len(start.base):
        field.damp_output(0.0)  # so that it starts as the linear part alone
    return NeuralVolume(field, start.amplitude, start.base, start.curves, start.gains)


def _build_latent(
    box: int, start: NeuralStart, options: NeuralOptions
) -> tuple[Encoder | LatentTable, EncoderView | None]:
    if isinstance(options, AutodecoderOptions):
        return LatentTable(_start_table(start.latents, options)), None
    small = _ENCODER_BOX if options.encoder_box == "auto" else options.encoder_box
    spec = EncoderSpec(
        box=min(small, box),
        latent_dim=options.latent_dim,
        kind=options.encoder,
        width=options.encoder_width,
        layers=options.encoder_layers,
        correction=options.correction,
    )
    view = EncoderView(spec, make_disc(box, box // 2 - 1), start.signal)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return Encoder(spec, view), view


def _start_table(latents: Tensor, options: AutodecoderOptions) -> Tensor:
    """Latents to start a table from: where nothing is known, apart and as if they were known.

    At the prior, all particles would be the same to the network, and nothing would part them.
    """
    if options.start == "linear":
        return latents
    generator = torch.Generator().manual_seed(options.seed)
    apart = latents.clone()
    apart[:, 0] = torch.randn(apart[:, 0].shape, generator=generator)
    apart[:, 1] = _KNOWN_LOG_VARIANCE
    return apart


def _spread_anchors(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Points (count, 3), (x, y, z) in pixels from the centre, drawn within the mask."""
    inside = (mask > 0.5).nonzero()
    drawn = torch.randint(len(inside), (count,), generator=generator)
    offsets = torch.rand(count, 3, generator=generator) - 0.5
    return (inside[drawn] - mask.shape[-1] // 2 + offsets).flip(-1)
