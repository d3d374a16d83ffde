"""The metrics of evaluate.py as pure functions. To add one, add a line to METRICS and its column to
evaluation/measuring.py."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.metrics import statistics
from evaluation.metrics.statistics import OfValues
from models.age_loss import AIM


@dataclass(frozen=True)
class Metric:
    """A metric of a set of photos.

    column: the values of the photos that it summarizes; "" for distances of two sets, which have no column. shown_as:
    factor for display in `unit` with `decimals`. interval: whether the bootstrap is valid for it.
    """

    title: str
    unit: str = ""
    column: str = ""
    statistic: OfValues = statistics.mean
    decimals: int = 1
    shown_as: float = 1.0
    interval: bool = True


def _share(title: str, column: str, statistic: OfValues) -> Metric:
    return Metric(title, "%", column, statistic, shown_as=100.0)


METRICS: dict[str, Metric] = {
    "age_before": Metric("estimated age of the photo", "years", "age_before"),
    "age_after": Metric("estimated age of the image", "years", "age_after"),
    "gain_mean": Metric("age gain, mean", "years", "gain"),
    "gain_median": Metric("age gain, median", "years", "gain", statistics.median),
    # The percentile bootstrap of a maximum is not consistent: no replicate exceeds it.
    "gain_max": Metric("age gain, maximum", "years", "gain", statistics.maximum, interval=False),
    "gain_above_10": _share("gain above 10 years", "gain", statistics.share_above(10)),
    "gain_above_15": _share("gain above 15 years", "gain", statistics.share_above(15)),
    "gain_above_20": _share("gain above 20 years", "gain", statistics.share_above(20)),
    "gain_wrong": _share("in the wrong direction", "gain", statistics.share_below(0)),
    "gain_from_30": Metric(
        f"distance of the mean gain from {AIM} years", "years", "gain", statistics.mean_distance_from(AIM)
    ),
    "true_gain": Metric("gain by the true ages, mean", "years", "true_gain"),
    "age_distance": Metric("distance from the ages of real target faces (W1)", "years"),
    "estimator_mae": Metric("estimator's error on real photos (MAE)", "years", "age_error", statistics.mean_absolute),
    "estimator_bias": Metric("estimator's error on real photos, mean", "years", "age_error"),
    "cosine": Metric("identity: cosine before/after", "", "cosine", decimals=3),
    "verified": _share("identity: verified at a false-accept rate of 0.1 %", "verified", statistics.mean),
    "gender_kept": _share("gender kept", "gender_kept", statistics.mean),
    "kid_estimator": Metric("KID in the estimator's features", decimals=3),
    "kid_inception": Metric("KID, Inception", "x 10^-3", decimals=2, shown_as=1000.0),
    "fid_inception": Metric("FID, Inception", ""),
    "change_l1": Metric("change from the photo, L1", "of 255", "change_l1", decimals=2),
    "cycle_l1": Metric("cycle error, L1", "of 255", "cycle_l1", decimals=2),
    "cycle_psnr": Metric("cycle, PSNR", "dB", "cycle_psnr"),
    "cycle_ssim": Metric("cycle, SSIM", "", "cycle_ssim", decimals=3),
    "cycle8_l1": Metric("cycle error after rounding to 8 bits, L1", "of 255", "cycle8_l1", decimals=2),
    "cycle8_psnr": Metric("cycle after rounding, PSNR", "dB", "cycle8_psnr"),
    "cycle8_ssim": Metric("cycle after rounding, SSIM", "", "cycle8_ssim", decimals=3),
    "sharpness": Metric("sharpness, relative to the photo", "", "sharpness", statistics.geometric_mean, decimals=2),
}
"""The metrics by their names in metrics.csv, in the order of the tables."""

AGE_COLUMNS = ("age_before", "age_after", "gain", "age_error")
"""Columns that exist for each age estimator."""
