"""Faster computation of the networks: speed options, custom kernels, CUDA graphs. The results do not change."""
