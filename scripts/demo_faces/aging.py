"""The effects of age on a face. Nothing else in this package depends on the age."""

from dataclasses import dataclass

import numpy as np

ONSET, FULL = 30.0, 60.0  # years: signs of age start at the first and reach their full strength at the second


@dataclass(frozen=True)
class Heritage:
    """The strength of each sign of age in a person, where 1 is average. Sampled for everybody, young or old."""

    greying: float
    receding: float
    wrinkling: float
    folding: float
    sagging: float
    thinning: float
    spotting: float


@dataclass(frozen=True)
class Signs:
    """The visible signs of age, each 0 (none) to about 1 (strong)."""

    grey: float  # hair, brows and beard
    recession: float  # of the hairline
    wrinkles: float  # forehead lines, crow's feet, frown lines
    folds: float  # from nose to mouth and below it, under the eyes
    sag: float  # jowls, cheeks, eyelids, corners of the mouth
    thin_lips: float
    spots: float  # age spots, blotches, dullness

    @classmethod
    def of(cls, heritage: Heritage, age: float) -> "Signs":
        """The signs of age at an age in years."""
        t = float(np.clip((age - ONSET) / (FULL - ONSET), 0, 1.2))
        return cls(
            grey=min(1.0, heritage.greying * t**1.3),  # the first grey hairs appear later than the first lines
            recession=heritage.receding * t,
            wrinkles=heritage.wrinkling * t,
            folds=heritage.folding * t,
            sag=heritage.sagging * t,
            thin_lips=heritage.thinning * t,
            spots=heritage.spotting * t,
        )


def sample_heritage(rng: np.random.Generator, feminine: bool) -> Heritage:
    """Sample strengths that vary around a common pace, so that everybody over fifty has some signs."""
    pace = rng.uniform(0.8, 1.15)
    greying = min(1.0, rng.uniform(0.45, 1.1) * pace)
    receding = rng.choice([0.0, 0.35, 0.7, 1.0], p=[0.3, 0.3, 0.25, 0.15]) * (0.25 if feminine else 1)
    wrinkling, folding, sagging, thinning, spotting = rng.uniform(0.65, 1.15, size=5) * pace
    return Heritage(greying, receding, wrinkling, folding, sagging, thinning, spotting)
