"""Command-line options of train.py, test.py and evaluate.py, composed of the components' option dataclasses."""

from options.evaluate_options import EvaluateOptions, parse_evaluate_options
from options.testing_options import TestOptions, parse_test_options
from options.train_options import TrainOptions, parse_train_options

__all__ = [
    "EvaluateOptions",
    "TestOptions",
    "TrainOptions",
    "parse_evaluate_options",
    "parse_test_options",
    "parse_train_options",
]
