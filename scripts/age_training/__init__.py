"""Training of an age estimator for scripts/train_age_estimator.py.

faces.py      reads the faces of prepared data sets for training, validation and testing
framing.py    the framings of faces: chips and frames
augment.py    random augmentation of a batch
training.py   the training loop and its state
scores.py     errors on held-out people
"""
