"""A training run: its folder, progress, checkpoints, resuming and interruption."""
