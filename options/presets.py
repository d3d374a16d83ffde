"""Presets: named sets of option values. Typed options override them, and the values are saved with the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from util.arguments import option

AGING: dict[str, Any] = {
    "residual": True,
    "upsample": "resize",
    "netG": "resnet_4blocks",
    "ngf": 32,
    "netD": "projected",
    "ndf": 32,
    "norm_D": "none",
    "lambda_r1": 1.0,
    "features_grey": True,
    "lambda_identity": 0.0,
    "lambda_A": 0.5,
    "lambda_B": 0.5,
    "wrong_age": 0.5,
    "beta2": 0.99,
    "ema": 0.999,
    "warm_up_D": 300,
    "match": "gender",
}

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "fast64": AGING
    | {
        "load_size": 72,
        "crop_size": 64,
        "features_size": 48,
        "warm_up_batch": 8,
        "ema": 0.995,
        "n_epochs": 1,
        "n_epochs_decay": 0,
    },
    "fast128": AGING
    | {
        "load_size": 144,
        "crop_size": 128,
        "position": True,
        "features_size": 80,
        "warm_up_batch": 8,
        "n_epochs": 2,
        "n_epochs_decay": 2,
    },
    "best": AGING
    | {
        "load_size": 204,
        "crop_size": 192,
        "test_size": 256,
        "position": True,
        "fade": 0.1,
        "grey_hair": 0.85,
        "features_levels": 4,
        "features_size": 144,
        "features_smallest": 72,
        "coarse_size": 64,
        "lambda_A": 0.2,
        "lambda_tint": 2.0,
        "lambda_lightening": 5.0,
        "lambda_darkening": 10.0,
        "overshoot_A": 1.2,
        "warm_up_batch": 8,
        "ema": 0.998,
        "lazy_cycle": 4,
        "n_epochs": 1,
        "n_epochs_decay": 0,
    },
}
"""fast64 and fast128: train on small faces in minutes on a CPU. best: goes on at 192 pixels from a run of fast128
(`--init_from`); scripts/train_best.sh does both."""


@dataclass(frozen=True)
class PresetOptions:
    """preset"""

    preset: str = option(
        "none",
        help="use a named set of option values, which other options override (--no_residual turns --residual off); "
        + "; ".join(
            f"{name}: {' '.join(f'--{flag}' + f' {value}' * (value is not True) for flag, value in values.items())}"
            for name, values in PRESETS.items()
            if values
        ),
        choices=tuple(PRESETS),
    )

    @property
    def values(self) -> Mapping[str, Any]:
        """The option values of the preset."""
        return PRESETS[self.preset]
