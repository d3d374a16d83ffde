"""Measures translations, during and after training: pairs of images, instruments, metrics, tables and reports."""
