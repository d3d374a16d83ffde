"""The benchmarks of scripts/benchmark.py, one module per subject with `add_arguments`, `run` and `format_table`."""
