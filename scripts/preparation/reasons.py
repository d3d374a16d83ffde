"""The reasons why a photo of a collection is left out."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reasons why a row is left out, in the order in which they are checked. Reasons of the sources come before."""

    TWICE = "listed twice"
    OUTSIDE = "path that leads elsewhere"
    NOT_AN_IMAGE = "no image by its name"
    NO_AGE = "age unknown"
    IMPOSSIBLE_AGE = "impossible age"
    OTHER_AGE = "neither young nor old"
    NO_FACE = "no face found"
    LOW_SCORE = "face score too low"
    SECOND_FACE = "second face"
    NO_GENDER = "gender unknown"
    OTHER_GENDER = "other gender"
    GLASSES = "glasses"
    BLURRY = "blurry"
    OTHER_DOMAIN = "person kept at the other age"
    MISSING = "photo missing"
    UNREADABLE = "photo unreadable"
    TOO_SMALL = "photo too small"
    BOX = "no face box in the photo"
    SMALL_FACE = "face too small"
    CUT_FACE = "face cut off"
    GREY = "grey or toned"
    DUPLICATE = "near-duplicate"
    IDENTITY_LIMIT = "beyond --max_per_identity"
    CLASS_LIMIT = "beyond --max_per_class"
    GENDER_LIMIT = "beyond --balance_gender"
