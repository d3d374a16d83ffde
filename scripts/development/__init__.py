"""Tools for work on this project: what benchmark.py measures, a profile, trainings that are killed at random."""
