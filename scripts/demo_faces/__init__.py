"""Draws seeded cartoon portraits of young and old people, to try the project without photos.

person.py      samples a person and the photograph, independently of the age
aging.py       the signs of age in one `Signs` record, the only place where the age has an effect
curves.py      splines, ribbons and ellipses: outlines as (N, 2) arrays in face units
canvas.py      the picture, which is painted through soft masks
backdrop.py, head.py, eyes.py, features.py, wrinkles.py, hair.py, extras.py
               one pure drawing function per part of the portrait
portrait.py    `draw(face, age, size)` draws all parts from back to front
collection.py  writes the folder of PNG files; can be interrupted at any moment
"""
