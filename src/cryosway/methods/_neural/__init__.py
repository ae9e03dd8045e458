"""Networks: training, judgement, latents of new particles."""
