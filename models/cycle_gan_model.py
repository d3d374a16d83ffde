"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): two domains, two generators, two discriminators, no pairs.

A is young, B is old. G_A makes B from A and G_B makes A from B. As in the public code base, D_A judges what G_A makes:
it tells real photos of B from translated ones, and D_B those of A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from models.age_loss import AgeLoss, AgeLossOptions
from models.base_model import BaseModel, Step
from models.discriminators import DiscriminatorOptions, create_discriminator
from models.fast.cuda_graph import GraphedStep
from models.fast.speed import SpeedOptions, accelerate
from models.generators import GeneratorOptions, create_generator
from models.gradient_averaging import GradientAveraging
from models.layers import NetworkOptions, frozen, synchronise_batch_norms
from models.losses import GAN_LOSSES, gradient_penalty, reconstruction
from models.optimizers import create_adam
from models.precision import Network
from models.schedules import Schedule, ScheduleOptions
from util.arguments import OptionError, option, section
from util.image_pool import ImagePool

LOSS_NAMES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B", "age_A", "age_B")
"""In the order in which the public code base lists them; those of age are our own."""
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
    lambda_gp: float = option(10.0, help="weight of the gradient penalty of --gan_mode wgangp")
    pool_size: int = option(
        50, help="earlier translations shown to each discriminator; 0: none", unit="images", most=5000
    )

    def __post_init__(self) -> None:
        for flag in ("lambda_A", "lambda_B", "lambda_identity", "lambda_gp", "pool_size"):
            if getattr(self, flag) < 0:
                raise OptionError(f"--{flag} {getattr(self, flag)}: must not be negative")


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

    def check_trainable(self) -> None:
        """Raise OptionError where these options can translate, but not train."""
        if self.age.age_loss is not None and (self.network.input_nc, self.network.output_nc) != (3, 3):
            raise OptionError("--age_loss needs colour images (--input_nc 3 --output_nc 3), as the estimator does")
        if self.generator.residual and self.network.input_nc != self.network.output_nc:
            raise OptionError("--residual needs --input_nc equal to --output_nc: the output is the input plus a change")
        if self.objective.lambda_identity > 0 and self.network.input_nc != self.network.output_nc:
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
        """parts: in how many parts, one after another, a batch goes through the networks in each step."""
        super().__init__(device)
        network, self.objective = options.network, options.objective
        self.speed = options.speed.resolve(device, training=training)
        self.G_A = create_generator(network, options.generator).to(device)
        self.G_B = create_generator(network.reversed(), options.generator).to(device)
        self.networks = {"G_A": self.G_A, "G_B": self.G_B}
        if training:
            options.check_trainable()
            self.D_A = create_discriminator(network, options.discriminator, network.output_nc).to(device)
            self.D_B = create_discriminator(network, options.discriminator, network.input_nc).to(device)
            self.networks |= {"D_A": self.D_A, "D_B": self.D_B}
        if training and network.sync_bn:
            synchronise_batch_norms(self.networks.values(), device)
        for net in (self.G_A, self.G_B, *((self.D_A, self.D_B) if training else ())):
            accelerate(net, self.speed)
        if not training:
            self.inference()
            return
        self.parts = parts
        self.pool_A = ImagePool(self.objective.pool_size, seed, device)
        self.pool_B = ImagePool(self.objective.pool_size, seed + 1, device)
        self.pools = {"fake_A": self.pool_A, "fake_B": self.pool_B}
        # Where each image goes through a network on its own, two passes of one network are one of a larger batch.
        passes_can_merge = network.norm != "batch" and not options.generator.dropout
        self.merges_passes = passes_can_merge and "merge" in self.speed.speedups
        self.gan_loss = GAN_LOSSES[self.objective.gan_mode]
        path = options.age.age_loss
        self.age_loss = AgeLoss(path, options.age.lambda_age, device) if path is not None else None
        self.averaging: dict[str, GradientAveraging] = {}
        self._add_optimizer("G", options.schedule, self.G_A, self.G_B)
        self._add_optimizer("D", options.schedule, self.D_A, self.D_B)
        self._step: Callable[[Tensor, Tensor], Step] = GraphedStep(self.step) if self.speed.cuda_graphs else self.step

    def _add_optimizer(self, name: str, options: ScheduleOptions, *networks: nn.Module) -> None:
        parameters = list(chain.from_iterable(network.parameters() for network in networks))
        self.averaging[name] = GradientAveraging(parameters)
        fused = "adam" in self.speed.speedups and self.device.type in ("cpu", "cuda")
        self.optimizers[name] = create_adam(parameters, options.lr, options.beta1, self.device, fused=fused,
                                            capturable=self.speed.cuda_graphs)  # fmt: skip
        self.schedules[name] = Schedule(self.optimizers[name], options)
        # Small fp16 gradients would round to 0; in every other precision the scaler does nothing.
        self.scalers[name] = torch.amp.GradScaler(self.device.type, enabled=self.speed.precision == "fp16")

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """real, fake and rec of each domain that the batch has: real_A, fake_B, rec_A and real_B, fake_A, rec_B."""
        images = {}
        if "A" in batch:
            images["real_A"] = batch["A"].to(self.device, non_blocking=True)
            images["fake_B"] = self.G_A(images["real_A"])
            images["rec_A"] = self.G_B(images["fake_B"])
        if "B" in batch:
            images["real_B"] = batch["B"].to(self.device, non_blocking=True)
            images["fake_A"] = self.G_B(images["real_B"])
            images["rec_B"] = self.G_A(images["fake_A"])
        return images

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        """One step of both generators and both discriminators. Its tensors are valid until the next step."""
        real_A = batch["A"].to(self.device, non_blocking=True)
        real_B = batch["B"].to(self.device, non_blocking=True)
        for pool, translated in ((self.pool_B, real_A), (self.pool_A, real_B)):
            pool.draw([len(part) for part in translated.chunk(self.parts)])
        self._epoch_steps += 1
        return self._step(real_A, real_B)

    def step(self, real_A: Tensor, real_B: Tensor) -> Step:
        """The step on photos that lie on the device. It never waits for the device, and the host decides nothing."""
        pairs = list(zip(real_A.chunk(self.parts), real_B.chunk(self.parts), strict=True))
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        total: dict[str, Tensor] = {}
        for part, photos in enumerate(pairs):
            share, is_last = len(photos[0]) / len(real_A), part == len(pairs) - 1
            images = self.images(*photos)
            with frozen(self.D_A, self.D_B):
                generator_losses = self.generator_losses(images)
                self._backward("G", generator_losses, share, is_last)
            discriminator_losses = self.discriminator_losses(images, part)
            self._backward("D", discriminator_losses, share, is_last)
            for name, loss in (generator_losses | discriminator_losses).items():
                total[name] = total.get(name, 0.0) + share * loss.detach()
        for name, optimizer in self.optimizers.items():
            self.averaging[name].finish()
            self.scalers[name].step(optimizer)
            self.scalers[name].update()

        self._epoch_loss += torch.stack([loss for name, loss in total.items() if not name.startswith("D_")]).sum()
        return Step(
            {name: total[name] for name in LOSS_NAMES if name in total},
            {name: images[name].detach() for name in IMAGE_NAMES},
        )

    def _backward(self, optimizer: str, losses: Mapping[str, Tensor], share: float, is_last: bool) -> None:
        """Add the gradients of the losses' sum, for a part of the batch that is such a share of it; with the last part,
        begin to average them over all processes."""
        if is_last:
            self.averaging[optimizer].begin()
        self.scalers[optimizer].scale(share * torch.stack(list(losses.values())).sum()).backward()

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """The reverse of `state_dict`."""
        super().load_state_dict(state)
        if isinstance(self._step, GraphedStep):
            self._step.reset()  # the optimizers' moments are other tensors now

    def images(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """All that the losses compare: the photos, their translations, these translated back, and where there is an
        identity term what each generator makes of photos that are of its target domain already (same_A, same_B)."""
        fake_B, same_B = self._translate_and_keep(self.G_A, real_A, real_B)
        fake_A, same_A = self._translate_and_keep(self.G_B, real_B, real_A)
        images = {
            "real_A": real_A,
            "fake_B": fake_B,
            "rec_A": self.G_B(fake_B),
            "real_B": real_B,
            "fake_A": fake_A,
            "rec_B": self.G_A(fake_A),
        }
        return images | {"same_A": same_A, "same_B": same_B} if self.objective.lambda_identity > 0 else images

    def _translate_and_keep(self, generator: nn.Module, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """A generator's translation of `source` and, if there is an identity term, what it makes of `target`."""
        if self.objective.lambda_identity == 0:
            return generator(source), target
        if self.merges_passes and source.shape == target.shape:
            translated, same = generator(torch.cat([source, target])).chunk(2)
            return translated, same
        return generator(source), generator(target)

    def generator_losses(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted terms whose sum both generators minimise (equation 3, and section 5.2 for the identity term)."""
        weights = self.objective
        losses = {
            "G_A": self.gan_loss.generator(self.D_A(images["fake_B"])),
            "G_B": self.gan_loss.generator(self.D_B(images["fake_A"])),
            "cycle_A": weights.lambda_A * reconstruction(images["rec_A"], images["real_A"]),
            "cycle_B": weights.lambda_B * reconstruction(images["rec_B"], images["real_B"]),
        }
        if weights.lambda_identity > 0:
            weight_A, weight_B = weights.lambda_identity * weights.lambda_A, weights.lambda_identity * weights.lambda_B
            losses["idt_A"] = weight_B * reconstruction(images["same_B"], images["real_B"])
            losses["idt_B"] = weight_A * reconstruction(images["same_A"], images["real_A"])
        if self.age_loss is not None:
            losses["age_A"] = self.age_loss(images["real_A"], images["fake_B"], older=True)
            losses["age_B"] = self.age_loss(images["real_B"], images["fake_A"], older=False)
        return losses

    def discriminator_losses(self, images: Mapping[str, Tensor], part: int = 0) -> dict[str, Tensor]:
        """One term for each discriminator, on real photos and on translations out of its pool, as drawn for this part
        of the batch."""
        fake_B, fake_A = self.pool_B.exchange(images["fake_B"], part), self.pool_A.exchange(images["fake_A"], part)
        return {
            "D_A": self._discriminator_loss(self.D_A, images["real_B"], fake_B),
            "D_B": self._discriminator_loss(self.D_B, images["real_A"], fake_A),
        }

    def _discriminator_loss(self, discriminator: Network, real: Tensor, fake: Tensor) -> Tensor:
        loss = self.gan_loss.discriminator(discriminator(real), discriminator(fake))
        if self.objective.gan_mode == "wgangp":
            with discriminator.plainly():
                loss = loss + self.objective.lambda_gp * gradient_penalty(discriminator, real, fake)
        return 0.5 * loss  # halved, as in the paper's section 4, to slow the discriminators down
