"""Prepares the four folders for training and testing from a raw collection of faces. In reading order:

sources/      one adapter per collection, which reads its metadata as a table with a row per photo
settings.py   the options of scripts/prepare_dataset.py
plan.py       decisions by the metadata alone: filters, domain, training or testing, order of preference
matlab.py     reads MATLAB's files in a process with limits, for adapters
people.py     identifies people by their faces; uses same_face.py and recognising.py
photo.py      checks, crops, resizes and writes one photo, in worker processes
duplicates.py finds near-duplicates
selection.py  selects the photos to keep: removes duplicates, applies limits
workspace.py  the state of a preparation on disk, which can be resumed and is published when it is complete
pipeline.py   runs all steps in order
report.py     writes manifest.csv, dataset.json and the console's summary
page.py       writes report.html
reasons.py    the reasons why a photo is left out

Only people.py and recognising.py import torch, and only with --recognise, so that the preparation starts quickly and
its processes stay small.
"""
