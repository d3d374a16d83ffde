"""Sinks display or record the progress of a run: console, log files, HTML page, visdom, TensorBoard, W&B."""
