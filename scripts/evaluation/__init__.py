"""The parts of evaluate.py: where pairs come from, measuring them, summing up, telling."""
