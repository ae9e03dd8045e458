"""The linear model and maps by kernels around a latent."""
