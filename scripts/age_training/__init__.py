"""Training an age estimator: see scripts/train_age_estimator.py.

faces.py      which faces of a prepared set are for training, validation, testing; their pixels
framing.py    chips and frames: how much of a face is seen
augment.py    random changes of a batch
training.py   the loop, its state
scores.py     errors on people held out
"""
