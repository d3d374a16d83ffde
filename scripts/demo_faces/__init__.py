"""Seeded cartoon portraits of young and old people, for trying the project out without photos.

person.py      who is drawn: identity, look, photograph; sampled without knowing the age
aging.py       what the years add: one `Signs` record, the only place where an age has an effect
curves.py      splines, ribbons, ellipses: outlines as (N, 2) arrays in face units
canvas.py      the picture, painted through soft masks
backdrop.py, head.py, eyes.py, features.py, wrinkles.py, hair.py, extras.py
               one pure drawing function per part of the portrait
portrait.py    `draw(face, age, size)`: the parts from back to front
collection.py  the folder of PNG files, written so that it can be interrupted at any moment
"""
