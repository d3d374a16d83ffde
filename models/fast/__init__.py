"""Speed below the step: what a run uses of it, kernels of our own, CUDA graphs. Nothing here changes the result."""
