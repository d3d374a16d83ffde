"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): two domains, two generators, two discriminators, no pairs.

A is young, B is old. G_A makes B from A and G_B makes A from B. As in the public code base, D_A judges what G_A makes:
it tells real photos of B from translated ones, and D_B those of A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.age_loss import AgeLoss, AgeLossOptions
from models.augment import augment
from models.averages import Averages
from models.base_model import BaseModel, Step
from models.discriminators import DiscriminatorOptions, create_discriminator
from models.fast.cuda_graph import GraphedStep
from models.fast.speed import SpeedOptions, accelerate
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions, frozen, synchronise_batch_norms
from models.losses import GAN_LOSSES, gradient_penalty, gradient_penalty_on_real, reconstruction
from models.optimization import Optimization
from models.precision import Network
from models.schedules import ScheduleOptions
from util.arguments import OptionError, option, section
from util.image_pool import ImagePool

IMAGE_NAMES = ("real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B")


@dataclass(frozen=True)
class ObjectiveOptions:
    """losses of the CycleGAN"""

    gan_mode: str = option(
        "lsgan", help="adversarial objective", choices=tuple(GAN_LOSSES), aliases={"no_lsgan": "vanilla"}
    )
    lambda_A: float = option(10.0, help="weight of the cycle A to B to A")
    lambda_B: float = option(10.0, help="weight of the cycle B to A to B")
    lambda_identity: float = option(0.5, help="weight of the identity mapping, as a share of the cycle's; 0: none")
    lambda_change: float = option(0.0, help="weight of the mean absolute difference between photo and translation")
    lambda_gp: float = option(10.0, help="weight of the gradient penalty of --gan_mode wgangp")
    lambda_r1: float = option(
        0.0, help="weight of the discriminators' gradient penalty on real photos (R1); 0: none. Not with wgangp"
    )
    r1_every: int = option(16, help="how often --lambda_r1 is computed", unit="steps")
    lazy_cycle: int = option(
        1, help="how often the cycle and identity terms are computed, with accordingly larger weights", unit="steps"
    )
    wrong_age: float = option(
        0.0,
        help="share of the discriminators' negative examples that are real photos of the other domain, so that they "
        "never forget what ages differ in",
    )
    diffaug: bool = option(
        False, help="discriminators see shifted photos with a rectangle cut out (differentiable augmentation)"
    )
    pool_size: int = option(
        50, help="earlier translations shown to each discriminator; 0: none", unit="images", most=5000
    )
    ema: float = option(
        0.0,
        help="decay of the generators' moving averages, such as 0.999, which are then what is tested, measured and "
        "saved as latest_net_G_A and latest_net_G_B; 0: none",
    )
    warm_up_D: int = option(
        0, help="first train the discriminators alone to tell real young from real old faces", unit="steps"
    )
    warm_up_batch: int = option(16, help="batch size of --warm_up_D", unit="photos of each domain", most=4096)

    def __post_init__(self) -> None:
        not_negative = (
            "lambda_A",
            "lambda_B",
            "lambda_identity",
            "lambda_change",
            "lambda_gp",
            "lambda_r1",
            "pool_size",
            "warm_up_D",
        )
        for flag in not_negative:
            if getattr(self, flag) < 0:
                raise OptionError(f"--{flag} {getattr(self, flag)}: must not be negative")
        for flag in ("r1_every", "lazy_cycle", "warm_up_batch"):
            if getattr(self, flag) < 1:
                raise OptionError(f"--{flag} {getattr(self, flag)}: at least 1")
        if not 0 <= self.wrong_age < 1:
            raise OptionError(f"--wrong_age {self.wrong_age}: a share of at least 0, and below 1")
        if not 0 <= self.ema < 1:
            raise OptionError(f"--ema {self.ema}: at least 0, and below 1")
        if self.lambda_r1 and self.gan_mode == "wgangp":
            raise OptionError("--lambda_r1 is not for --gan_mode wgangp, which has a gradient penalty of its own")

    @property
    def has_lazy_terms(self) -> bool:
        """Whether some terms are not part of every step."""
        return self.lazy_cycle > 1 or (self.lambda_r1 > 0 and self.r1_every > 1)


@dataclass(frozen=True)
class CycleGANOptions:
    """CycleGAN"""

    network: NetworkOptions = section(NetworkOptions)
    generator: GeneratorOptions = section(GeneratorOptions)
    discriminator: DiscriminatorOptions = section(DiscriminatorOptions, train_only=True)
    objective: ObjectiveOptions = section(ObjectiveOptions, train_only=True)
    age: AgeLossOptions = section(AgeLossOptions, train_only=True)
    schedule: ScheduleOptions = section(ScheduleOptions, train_only=True)
    speed: SpeedOptions = section(SpeedOptions)

    @property
    def channels(self) -> dict[str, int]:
        """Of the images of domains A and B."""
        return {"A": self.network.input_nc, "B": self.network.output_nc}

    @property
    def teachers(self) -> dict[str, Path]:
        """Estimators that the generators are trained against, by the option that names them."""
        named = {"age_loss": self.age.age_loss, "features": self.discriminator.features_used}
        return {flag: path for flag, path in named.items() if path is not None}

    def check_trainable(self) -> None:
        """Raise OptionError if these options can translate, but not train."""
        channels = (self.network.input_nc, self.network.output_nc)
        for flag in self.teachers:
            if channels != (3, 3):
                raise OptionError(f"--{flag} needs colour images (--input_nc 3 --output_nc 3), as the estimator does")
        if channels[0] == channels[1]:
            return
        if self.generator.residual:
            raise OptionError("--residual needs --input_nc equal to --output_nc: the output is the input plus a change")
        if self.objective.lambda_change > 0:
            raise OptionError("--lambda_change needs --input_nc equal to --output_nc: it compares input and output")
        if self.objective.lambda_identity > 0:
            raise OptionError(
                "--lambda_identity above 0 needs --input_nc equal to --output_nc: a generator can only map an image "
                "to itself where both domains have the same channels; give --lambda_identity 0"
            )


class CycleGANModel(BaseModel):
    """Both directions of translation, trained by adversarial, cycle and identity losses."""

    options_class = CycleGANOptions

    def __init__(
        self, options: CycleGANOptions, device: torch.device, *, training: bool, seed: int = 0, parts: int = 1
    ) -> None:
        """parts: number of micro-batches per step."""
        super().__init__(options, device)
        self.objective = options.objective
        self.speed = options.speed.resolve(device, training=training)
        self.G_A = create_generator(options.network, options.generator).to(device)
        self.G_B = create_generator(options.network.reversed(), options.generator).to(device)
        self.networks = {"G_A": self.G_A, "G_B": self.G_B}
        if training:
            self._prepare_training(options, seed, parts)
        else:
            accelerate(self.G_A, self.speed)
            accelerate(self.G_B, self.speed)
            self.inference()

    def _prepare_training(self, options: CycleGANOptions, seed: int, parts: int) -> None:
        """Make what only training needs: discriminators, averages, optimizers, pools."""
        options.check_trainable()
        network, self.parts = options.network, parts
        self.D_A = create_discriminator(network, options.discriminator, network.output_nc, self.device)
        self.D_B = create_discriminator(network, options.discriminator, network.input_nc, self.device)
        self.networks |= {"D_A": self.D_A, "D_B": self.D_B}
        if network.sync_bn:
            synchronise_batch_norms(self.networks.values(), self.device)
        if self.objective.has_lazy_terms and self.speed.cuda_graphs:
            self.speed = replace(self.speed, cuda_graphs=False, graphs_missing="some terms are not in every step")
        for net in (self.G_A, self.G_B, self.D_A, self.D_B):
            accelerate(net, self.speed)
        if self.objective.ema > 0:
            self.averages = Averages({"G_A": self.G_A, "G_B": self.G_B}, self.objective.ema)
            self.networks |= {"raw_G_A": self.G_A, "raw_G_B": self.G_B, **self.averages.averaged}
        self.pool_A = ImagePool(self.objective.pool_size, seed, self.device)
        self.pool_B = ImagePool(self.objective.pool_size, seed + 1, self.device)
        self.pools = {"fake_A": self.pool_A, "fake_B": self.pool_B}
        # Where each image goes through a network on its own, two passes of one network are one of a larger batch.
        passes_can_merge = network.norm != "batch" and not options.generator.dropout
        self.merges_passes = passes_can_merge and "merge" in self.speed.speedups
        self.gan_loss = GAN_LOSSES[self.objective.gan_mode]
        teacher = options.age.age_loss
        self.age_loss = None if teacher is None else AgeLoss(teacher, options.age.lambda_age, self.device)
        self.optimizations = {
            "G": Optimization((self.G_A, self.G_B), options.schedule, self.device, self.speed),
            "D": Optimization((self.D_A, self.D_B), options.schedule, self.device, self.speed),
        }
        self._step: Callable[[Tensor, Tensor], Step] = GraphedStep(self.step) if self.speed.cuda_graphs else self.step

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """real, fake and rec of each domain that the batch has: real_A, fake_B, rec_A and real_B, fake_A, rec_B."""
        G_A, G_B = self.networks["G_A"], self.networks["G_B"]  # the averages, if there are any
        images = {}
        if "A" in batch:
            images["real_A"] = batch["A"].to(self.device, non_blocking=True)
            images["fake_B"] = G_A(images["real_A"])
            images["rec_A"] = G_B(images["fake_B"])
        if "B" in batch:
            images["real_B"] = batch["B"].to(self.device, non_blocking=True)
            images["fake_A"] = G_B(images["real_B"])
            images["rec_B"] = G_A(images["fake_A"])
        return images

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        """One step of both generators and both discriminators. Its tensors are valid until the next step."""
        real_A = batch["A"].to(self.device, non_blocking=True)
        real_B = batch["B"].to(self.device, non_blocking=True)
        for pool, real in ((self.pool_B, real_A), (self.pool_A, real_B)):
            pool.draw([len(part) for part in real.chunk(self.parts)])
        step = self._step(real_A, real_B)
        if self.averages:
            self.averages.update()
        self.steps += 1
        return step

    def step(self, real_A: Tensor, real_B: Tensor) -> Step:
        """The step on photos that lie on the device. It never waits for the device, and the host decides nothing that
        a CUDA graph would have to know."""
        generators, discriminators = self.optimizations["G"], self.optimizations["D"]
        generators.begin()
        discriminators.begin()
        losses: dict[str, Tensor] = {}
        pairs = list(zip(real_A.chunk(self.parts), real_B.chunk(self.parts), strict=True))
        for part, photos in enumerate(pairs):
            share = len(photos[0]) / len(real_A)
            images = self.images(*photos)
            with frozen(self.D_A, self.D_B):
                generator_losses = self.generator_losses(images)
                generators.backward(generator_losses, share)
            discriminator_losses = self.discriminator_losses(images, part)
            discriminators.backward(discriminator_losses, share)
            for name, loss in (generator_losses | discriminator_losses).items():
                losses[name] = losses.get(name, 0.0) + share * loss.detach()
        generators.step()
        discriminators.step()
        return self.report(losses, {name: images[name] for name in IMAGE_NAMES if name in images})

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """The reverse of `state_dict`."""
        super().load_state_dict(state)
        if isinstance(self._step, GraphedStep):
            self._step.reset()  # the optimizers' moments are other tensors now

    def images(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """All that the losses compare: the photos, their translations, these translated back and, for the identity
        term, what each generator makes of photos of its target domain (same_A, same_B). In steps without cycle terms
        the last two are missing."""
        with_identity = self.objective.lambda_identity > 0 and self._cycle_is_due
        images = {"real_A": real_A, "real_B": real_B}
        if with_identity and self.merges_passes and real_A.shape == real_B.shape:
            images["fake_B"], images["same_B"] = self.G_A(torch.cat([real_A, real_B])).chunk(2)
            images["fake_A"], images["same_A"] = self.G_B(torch.cat([real_B, real_A])).chunk(2)
        else:
            images["fake_B"], images["fake_A"] = self.G_A(real_A), self.G_B(real_B)
            if with_identity:
                images["same_B"], images["same_A"] = self.G_A(real_B), self.G_B(real_A)
        if self._cycle_is_due:
            images["rec_A"], images["rec_B"] = self.G_B(images["fake_B"]), self.G_A(images["fake_A"])
        return images

    @property
    def _cycle_is_due(self) -> bool:
        return self.steps % self.objective.lazy_cycle == 0

    def generator_losses(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted terms whose sum both generators minimise (equation 3, and section 5.2 for the identity term)."""
        weights = self.objective
        lambda_A, lambda_B = weights.lambda_A * weights.lazy_cycle, weights.lambda_B * weights.lazy_cycle
        losses = {
            "G_A": self.gan_loss.generator(self.D_A(self._seen(images["fake_B"]))),
            "G_B": self.gan_loss.generator(self.D_B(self._seen(images["fake_A"]))),
        }
        if "rec_A" in images:
            losses["cycle_A"] = lambda_A * reconstruction(images["rec_A"], images["real_A"])
            losses["cycle_B"] = lambda_B * reconstruction(images["rec_B"], images["real_B"])
        if "same_A" in images:
            losses["idt_A"] = weights.lambda_identity * lambda_B * reconstruction(images["same_B"], images["real_B"])
            losses["idt_B"] = weights.lambda_identity * lambda_A * reconstruction(images["same_A"], images["real_A"])
        if weights.lambda_change > 0:
            losses["change_A"] = weights.lambda_change * reconstruction(images["fake_B"], images["real_A"])
            losses["change_B"] = weights.lambda_change * reconstruction(images["fake_A"], images["real_B"])
        if self.age_loss is not None:
            losses["age_A"] = self.age_loss(images["real_A"], images["fake_B"], older=True)
            losses["age_B"] = self.age_loss(images["real_B"], images["fake_A"], older=False)
        return losses

    def discriminator_losses(self, images: Mapping[str, Tensor], part: int = 0) -> dict[str, Tensor]:
        """The terms of both discriminators, on real photos and on translations out of their pools, as drawn for this
        micro-batch."""
        fake_B, fake_A = self.pool_B.exchange(images["fake_B"], part), self.pool_A.exchange(images["fake_A"], part)
        return self._judge(images["real_A"], images["real_B"], fake_A, fake_B, self.steps)

    def _judge(self, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor, step: int) -> dict[str, Tensor]:
        losses = {
            "D_A": self._discriminator_loss(self.D_A, real_B, fake_B, wrong=real_A),
            "D_B": self._discriminator_loss(self.D_B, real_A, fake_A, wrong=real_B),
        }
        if self.objective.lambda_r1 > 0 and step % self.objective.r1_every == 0:
            losses["D_A_r1"] = self._penalty(self.D_A, real_B)
            losses["D_B_r1"] = self._penalty(self.D_B, real_A)
        return losses

    def _discriminator_loss(self, discriminator: Network, real: Tensor, fake: Tensor, wrong: Tensor) -> Tensor:
        """Of real photos of the domain, translations into it, and real photos of the other domain."""
        share = self.objective.wrong_age if wrong is not fake else 0.0
        real_logits = discriminator(self._seen(real))
        loss = (1 - share) * self.gan_loss.discriminator(real_logits, discriminator(self._seen(fake)))
        if share > 0:
            # As mismatched pairs in Reed et al. 2016, arXiv:1605.05396, section 4.1.
            loss = loss + share * self.gan_loss.discriminator(real_logits, discriminator(self._seen(wrong)))
        if self.objective.gan_mode == "wgangp":
            with discriminator.plainly():
                loss = loss + self.objective.lambda_gp * gradient_penalty(discriminator, real, fake)
        return 0.5 * loss  # halved, as in the paper's section 4, to slow the discriminators down

    def _penalty(self, discriminator: Network, real: Tensor) -> Tensor:
        with discriminator.plainly():
            penalty = gradient_penalty_on_real(discriminator, self._seen(real))
        return 0.5 * self.objective.lambda_r1 * self.objective.r1_every * penalty

    def _seen(self, images: Tensor) -> Tensor:
        """What a discriminator sees of images."""
        return augment(images) if self.objective.diffaug else images

    @property
    def warm_up_steps(self) -> int:
        """Steps of the discriminators alone before training proper."""
        return self.objective.warm_up_D

    @property
    def warm_up_batch(self) -> int:
        """Their batch size."""
        return self.objective.warm_up_batch

    def warm_up(self, batch: Mapping[str, Any]) -> Step:
        """One step of the discriminators alone. Real photos of the wrong age stand in for translations, which at first
        are hardly anything else when generators begin at the identity."""
        real_A, real_B = batch["A"].to(self.device), batch["B"].to(self.device)
        discriminators = self.optimizations["D"]
        discriminators.begin()
        losses = self._judge(real_A, real_B, fake_A=real_B, fake_B=real_A, step=self.warm_up_done)
        discriminators.backward(losses)
        discriminators.step()
        self.warm_up_done += 1
        return Step({name: loss.detach() for name, loss in losses.items()}, {"real_A": real_A, "real_B": real_B})

    @torch.no_grad()
    def told_apart(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """The share of real photos, of both domains, that each discriminator puts on the right side: 0.5 is chance."""
        shares = {}
        for name, own, other in (("D_A", "B", "A"), ("D_B", "A", "B")):
            scores = [self.networks[name](batch[domain].to(self.device)).mean(dim=(1, 2, 3)) for domain in (own, other)]
            right = torch.cat([scores[0] > self.gan_loss.middle, scores[1] < self.gan_loss.middle])
            shares[name] = float(right.float().mean())
        return shares
