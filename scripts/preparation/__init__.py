"""From a raw public collection of faces to the four folders that training and testing read. In reading order:

sources/      one adapter per collection: its metadata as one table, a row per photo
settings.py   the options of scripts/prepare_dataset.py
plan.py       what the metadata alone decide of every row: filters, domain, train or test, order of preference
people.py     who is on the photos, by their faces; same_face.py, recognising.py
photo.py      one photo: checked, cropped, resized, written; done in worker processes
duplicates.py which photos are near-duplicates of which
selection.py  which of the photos that passed are kept: duplicates and limits
workspace.py  a preparation under way, on disk: stopped and started again, published in one go
pipeline.py   all of it, in order
report.py     what came of it: manifest.csv, dataset.json, the console's summary
page.py       report.html
reasons.py    why a photo is not kept

Nothing here imports torch: the preparation starts at once, and its processes stay small.
"""
