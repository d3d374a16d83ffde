"""What scripts/benchmark.py measures, a module for each subject: `add_arguments`, `run`, `format_table`."""
