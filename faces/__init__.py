"""Faces of photos: found, aligned to one framing, recognised, and put back. In reading order:

landmarks.py  the five points of a face: where they usually are, and whether they can be right
align.py      the similarity transform from the points to one framing, applied
detect.py     the faces of a photo, each with its box and points
recognise.py  who is on a face, as a vector
paste.py      a change made to an aligned face, brought back into its photo
"""
