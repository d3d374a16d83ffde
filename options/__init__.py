"""Command-line options of train.py and test.py, composed from what each component declares beside itself."""

from options.test_options import TestOptions, parse_test_options
from options.train_options import TrainOptions, parse_train_options

__all__ = ["TestOptions", "TrainOptions", "parse_test_options", "parse_train_options"]
