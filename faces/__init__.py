"""Detect, align and recognise faces, and paste changed faces back into a photo. In reading order:

landmarks.py  the five landmarks of a face: their usual positions, and whether they are plausible
align.py      aligns a face to the standard framing by a similarity transform of its landmarks
detect.py     detects the faces of a photo, each with its box and landmarks
recognise.py  embeds a face as a vector that identifies the person
paste.py      pastes the change of an aligned face back into its photo
"""
