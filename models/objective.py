"""Options of the CycleGAN's losses, and of what enters them."""

from __future__ import annotations

from dataclasses import dataclass

from models.losses import GAN_LOSSES
from util.arguments import OptionError, option


@dataclass(frozen=True)
class ObjectiveOptions:
    """CycleGAN losses"""

    gan_mode: str = option(
        "lsgan", help="adversarial objective", choices=tuple(GAN_LOSSES), aliases={"no_lsgan": "vanilla"}
    )
    lambda_A: float = option(10.0, help="weight of the cycle loss A to B to A", least=0)
    lambda_B: float = option(10.0, help="weight of the cycle loss B to A to B", least=0)
    lambda_identity: float = option(
        0.5, help="weight of the identity loss relative to the cycle loss; 0: no identity loss", least=0
    )
    lambda_change: float = option(
        0.0, help="weight of the mean absolute difference between photo and translation", least=0
    )
    lambda_tint: float = option(
        0.0,
        help="weight of colours in translations to B that are neither the photo's nor a greyer shade of them",
        least=0,
    )
    lambda_lightening: float = option(
        0.0,
        help="weight of brightness that translations to B add to skin and to what is as light, such as light streaks; "
        "hair may get lighter",
        least=0,
    )
    lambda_darkening: float = option(
        0.0,
        help="weight of darkness that translations to B add to whole areas of skin, such as dark patches; lines may "
        "get darker",
        least=0,
    )
    overshoot_A: float = option(
        1.0,
        help="divide the change of translations to B by this before the discriminator sees them, so that translations "
        "change that much more than it demands",
        least=1,
    )
    overshoot_B: float = option(1.0, help="the same for translations to A", least=1)
    lambda_gp: float = option(10.0, help="weight of the gradient penalty of --gan_mode wgangp", least=0)
    lambda_r1: float = option(
        0.0,
        help="weight of the discriminators' gradient penalty on real photos (R1); 0: no penalty; not available with "
        "--gan_mode wgangp",
        least=0,
    )
    r1_every: int = option(16, help="interval at which the R1 penalty is computed", unit="steps", least=1)
    lazy_cycle: int = option(
        1,
        help="interval at which the cycle and identity losses are computed; their weights are multiplied by it",
        unit="steps",
        least=1,
    )
    wrong_age: float = option(
        0.0,
        help="fraction of the discriminators' negative examples that are real photos of the other domain, so that they "
        "keep judging age",
    )
    diffaug: bool = option(
        False, help="differentiable augmentation: discriminators see shifted images with a rectangle cut out"
    )
    pool_size: int = option(
        50,
        help="number of earlier translations kept for each discriminator; 0: none",
        unit="images",
        least=0,
        most=5000,
    )
    ema: float = option(
        0.0,
        help="decay of the generators' moving averages, for example 0.999; the averages are then tested, evaluated and "
        "saved as latest_net_G_A and latest_net_G_B; 0: no averages",
    )
    warm_up_D: int = option(
        0,
        help="number of steps that first train only the discriminators, to distinguish real young from real old faces; "
        "skipped if --init_from loads trained discriminators",
        unit="steps",
        least=0,
    )
    warm_up_batch: int = option(16, help="batch size of --warm_up_D", unit="photos of each domain", least=1, most=4096)

    def __post_init__(self) -> None:
        if not 0 <= self.wrong_age < 1:
            raise OptionError(f"--wrong_age {self.wrong_age}: must be at least 0 and below 1")
        if not 0 <= self.ema < 1:
            raise OptionError(f"--ema {self.ema}: must be at least 0 and below 1")
        if self.lambda_r1 and self.gan_mode == "wgangp":
            raise OptionError("--lambda_r1 cannot be combined with --gan_mode wgangp, which has its own penalty")

    @property
    def comparing(self) -> list[str]:
        """The options in use that compare photos with their translations, which must have as many channels."""
        names = ("lambda_change", "lambda_tint", "lambda_lightening", "lambda_darkening")
        weights = [name for name in names if getattr(self, name) > 0]
        return weights + [name for name in ("overshoot_A", "overshoot_B") if getattr(self, name) > 1]

    @property
    def has_lazy_terms(self) -> bool:
        """Whether some loss terms are not computed in every step."""
        return self.lazy_cycle > 1 or (self.lambda_r1 > 0 and self.r1_every > 1)
