"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): unpaired translation with two generators and two discriminators.

A is young, B is old. G_A translates A to B, and G_B translates B to A. As in the public code base, D_A judges the
output of G_A: it distinguishes real photos of B from translations, and D_B does the same for A.
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
from models.losses import (
    GAN_LOSSES,
    darkening,
    gradient_penalty,
    gradient_penalty_on_real,
    lightening,
    reconstruction,
    tint,
)
from models.objective import ObjectiveOptions
from models.optimization import Optimization
from models.precision import Network
from models.schedules import ScheduleOptions
from util.arguments import OptionError, section
from util.image_pool import ImagePool

IMAGE_NAMES = ("real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B")


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
        """Number of image channels of the domains A and B."""
        return {"A": self.network.input_nc, "B": self.network.output_nc}

    @property
    def teachers(self) -> dict[str, Path]:
        """Age estimators that the generators are trained with, by the option that names them."""
        named = {"age_loss": self.age.age_loss, "features": self.discriminator.features_used}
        return {flag: path for flag, path in named.items() if path is not None}

    def check_trainable(self) -> None:
        """Raise OptionError for options that allow translation but not training."""
        channels = (self.network.input_nc, self.network.output_nc)
        for flag in self.teachers:
            if channels != (3, 3):
                raise OptionError(f"--{flag} needs colour images (--input_nc 3 --output_nc 3) for its age estimator")
        if channels[0] == channels[1]:
            return
        if self.generator.residual:
            raise OptionError("--residual needs --input_nc equal to --output_nc: the output is the input plus a change")
        for flag in self.objective.comparing:
            raise OptionError(f"--{flag} needs --input_nc equal to --output_nc: it compares input and output")
        if self.objective.lambda_identity > 0:
            raise OptionError(
                "--lambda_identity above 0 needs --input_nc equal to --output_nc: a generator can only map an image "
                "to itself if both domains have the same number of channels; use --lambda_identity 0"
            )


class CycleGANModel(BaseModel):
    """Translates in both directions; trained with adversarial, cycle and identity losses."""

    options_class = CycleGANOptions

    def __init__(
        self, options: CycleGANOptions, device: torch.device, *, training: bool, seed: int = 0, parts: int = 1
    ) -> None:
        """parts: number of micro-batches per step."""
        super().__init__(options, device)
        self.objective = options.objective
        self.speed = options.speed.resolve(device, training=training)
        self.G_A = create_generator(options.network, options.generator).to(device)
        self.G_B = create_generator(options.network.reversed(), options.generator.backward()).to(device)
        self.networks = {"G_A": self.G_A, "G_B": self.G_B}
        if training:
            self._prepare_training(options, seed, parts)
        else:
            accelerate(self.G_A, self.speed)
            accelerate(self.G_B, self.speed)
            self.inference()

    def _prepare_training(self, options: CycleGANOptions, seed: int, parts: int) -> None:
        """Create everything that only training needs: discriminators, averages, optimizers, pools."""
        options.check_trainable()
        network, self.parts = options.network, parts
        self.D_A = create_discriminator(network, options.discriminator, network.output_nc, self.device)
        self.D_B = create_discriminator(network, options.discriminator, network.input_nc, self.device)
        self.networks |= {"D_A": self.D_A, "D_B": self.D_B}
        if network.sync_bn:
            synchronise_batch_norms(self.networks.values(), self.device)
        varies = self.objective.has_lazy_terms or options.discriminator.features_smallest > 0
        if varies and self.speed.cuda_graphs:
            self.speed = replace(
                self.speed, cuda_graphs=False, graphs_missing="the computation is not the same in every step"
            )
        for net in (self.G_A, self.G_B, self.D_A, self.D_B):
            accelerate(net, self.speed)
        if self.objective.ema > 0:
            self.averages = Averages({"G_A": self.G_A, "G_B": self.G_B}, self.objective.ema)
            self.networks |= {"raw_G_A": self.G_A, "raw_G_B": self.G_B, **self.averages.averaged}
        self.pool_A = ImagePool(self.objective.pool_size, seed, self.device)
        self.pool_B = ImagePool(self.objective.pool_size, seed + 1, self.device)
        self.pools = {"fake_A": self.pool_A, "fake_B": self.pool_B}
        # If images do not influence each other, two passes through a network can be merged into one larger batch.
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
        """Translate the photos of each domain in the batch and back. Returns real_A, fake_B, rec_A and real_B, fake_A,
        rec_B."""
        G_A, G_B = self.networks["G_A"], self.networks["G_B"]  # the moving averages if --ema is used
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
        """Do one step of both generators and both discriminators. The result is valid until the next step."""
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
        """Do the step on photos on the device. It never synchronises with the device and does not depend on values
        computed there, so that it can be recorded as a CUDA graph."""
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
        """Restore a `state_dict`."""
        super().load_state_dict(state)
        if isinstance(self._step, GraphedStep):
            self._step.reset()  # the optimizers' moments are now different tensors

    def images(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """Compute the images that the losses compare: the photos (real), their translations (fake), the translations
        back (rec), what the discriminators see of translations (judged), and the output of each generator for photos of
        its target domain (same), for the identity loss. In steps without cycle losses, rec and same are missing."""
        with_identity = self.objective.lambda_identity > 0 and self._cycle_is_due
        images = {"real_A": real_A, "real_B": real_B}
        if with_identity and self.merges_passes and real_A.shape == real_B.shape:
            images["fake_B"], images["same_B"] = self.G_A(torch.cat([real_A, real_B])).chunk(2)
            images["fake_A"], images["same_A"] = self.G_B(torch.cat([real_B, real_A])).chunk(2)
        else:
            images["fake_B"], images["fake_A"] = self.G_A(real_A), self.G_B(real_B)
            if with_identity:
                images["same_B"], images["same_A"] = self.G_A(real_B), self.G_B(real_A)
        images["judged_B"] = weakened(real_A, images["fake_B"], self.objective.overshoot_A)
        images["judged_A"] = weakened(real_B, images["fake_A"], self.objective.overshoot_B)
        if self._cycle_is_due:
            images["rec_A"], images["rec_B"] = self.G_B(images["fake_B"]), self.G_A(images["fake_A"])
        return images

    @property
    def _cycle_is_due(self) -> bool:
        return self.steps % self.objective.lazy_cycle == 0

    def generator_losses(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the weighted losses whose sum the generators minimise (equation 3; section 5.2 for the identity)."""
        weights = self.objective
        lambda_A, lambda_B = weights.lambda_A * weights.lazy_cycle, weights.lambda_B * weights.lazy_cycle
        losses = {
            "G_A": self.gan_loss.generator(self.D_A(self._seen(images["judged_B"]))),
            "G_B": self.gan_loss.generator(self.D_B(self._seen(images["judged_A"]))),
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
        if weights.lambda_tint > 0:
            losses["tint_A"] = weights.lambda_tint * tint(images["fake_B"], images["real_A"])
        if weights.lambda_lightening > 0:
            losses["lightening_A"] = weights.lambda_lightening * lightening(images["fake_B"], images["real_A"])
        if weights.lambda_darkening > 0:
            losses["darkening_A"] = weights.lambda_darkening * darkening(images["fake_B"], images["real_A"])
        if self.age_loss is not None:
            losses["age_A"] = self.age_loss(images["real_A"], images["fake_B"], older=True)
            losses["age_B"] = self.age_loss(images["real_B"], images["fake_A"], older=False)
        return losses

    def discriminator_losses(self, images: Mapping[str, Tensor], part: int = 0) -> dict[str, Tensor]:
        """Compute the losses of both discriminators on real photos and on translations from the image pools, for
        micro-batch number `part`."""
        fake_B = self.pool_B.exchange(images["judged_B"], part)
        fake_A = self.pool_A.exchange(images["judged_A"], part)
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
        """Compute the loss on real photos of the domain, translations to it, and real photos of the other domain."""
        share = self.objective.wrong_age if wrong is not fake else 0.0
        real_logits = discriminator(self._seen(real))
        loss = (1 - share) * self.gan_loss.discriminator(real_logits, discriminator(self._seen(fake)))
        if share > 0:
            # Like the mismatched pairs in Reed et al. 2016, arXiv:1605.05396, section 4.1.
            loss = loss + share * self.gan_loss.discriminator(real_logits, discriminator(self._seen(wrong)))
        if self.objective.gan_mode == "wgangp":
            with discriminator.plainly():
                loss = loss + self.objective.lambda_gp * gradient_penalty(discriminator, real, fake)
        return 0.5 * loss  # halved to slow the discriminators down, as in section 4 of the paper

    def _penalty(self, discriminator: Network, real: Tensor) -> Tensor:
        with discriminator.plainly():
            penalty = gradient_penalty_on_real(discriminator, self._seen(real))
        return 0.5 * self.objective.lambda_r1 * self.objective.r1_every * penalty

    def _seen(self, images: Tensor) -> Tensor:
        """Apply the augmentation of --diffaug, if enabled, to the input of a discriminator."""
        return augment(images) if self.objective.diffaug else images

    @property
    def warm_up_steps(self) -> int:
        """Number of steps that train only the discriminators before training."""
        return self.objective.warm_up_D

    @property
    def warm_up_batch(self) -> int:
        """Batch size of the warm-up."""
        return self.objective.warm_up_batch

    def warm_up(self, batch: Mapping[str, Any]) -> Step:
        """Do one step of the discriminators only. Real photos of the other domain take the place of translations,
        which are almost the same at first if the generators start as the identity."""
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
        """Return the accuracy of each discriminator on real photos of both domains; 0.5 is chance."""
        shares = {}
        for name, own, other in (("D_A", "B", "A"), ("D_B", "A", "B")):
            scores = [self.networks[name](batch[domain].to(self.device)).mean(dim=(1, 2, 3)) for domain in (own, other)]
            right = torch.cat([scores[0] > self.gan_loss.middle, scores[1] < self.gan_loss.middle])
            shares[name] = float(right.float().mean())
        return shares


def weakened(photo: Tensor, translation: Tensor, factor: float) -> Tensor:
    """Divide the change of a translation, its difference from the photo, by a factor."""
    return translation if factor == 1 else photo + (translation - photo) / factor
