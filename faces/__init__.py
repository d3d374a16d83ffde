"""Faces of photos: found, aligned to one framing, and put back. In reading order:

detect.py  the faces of a photo, each with a box and five landmarks
align.py   the similarity transform from the landmarks to one framing, applied
recognise.py who is on a face, as a vector
"""
