"""What two processes find out about themselves; started by test_distributed.py, one answer each as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from util import distributed
from util.arguments import build
from util.errors import UserError

CPU = torch.device("cpu")
SMALL = {"netG": "resnet_1blocks", "ngf": 4, "ndf": 4, "pool_size": 2, "precision": "float32", "speedups": ()}


def model_of(seed: int, parts: int = 1, **options: object) -> CycleGANModel:
    """A small model in float64."""
    torch.manual_seed(seed)
    settings = {**SMALL, **options}
    model = CycleGANModel(build(CycleGANOptions, settings), CPU, training=True, seed=seed, parts=parts)
    for network in model.networks.values():
        network.double()
    return model


def photos(count: int, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(count, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1 for name in "AB"}


def gradients(model: CycleGANModel) -> dict[str, list[torch.Tensor]]:
    return {
        name: [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        for name, network in model.networks.items()
    }


def largest_difference(ours: CycleGANModel, theirs: CycleGANModel, *, of_weights: bool = False) -> float:
    """Relative to the largest entry of each tensor."""
    worst = 0.0
    for name in ours.networks:
        pairs = zip(
            *(
                list(model.networks[name].parameters()) if of_weights else gradients(model)[name]
                for model in (ours, theirs)
            ),
            strict=True,
        )
        for a, b in pairs:
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp_min(1e-3)))
    return worst


class Alone:
    """Within, this process computes as if it were the only one."""

    def __enter__(self) -> None:
        self.former, distributed.dist.is_initialized = distributed.dist.is_initialized, lambda: False

    def __exit__(self, *exception: object) -> None:
        distributed.dist.is_initialized = self.former


def check_gradients(own: distributed.Place) -> dict[str, float]:
    """Each process computes half of 4 photos, in one part or in two, and is compared with one that computes all 4."""
    batch, found = photos(4), {}
    half = {name: images[2 * own.rank : 2 * own.rank + 2] for name, images in batch.items()}
    for mode in ("lsgan", "hinge"):
        for parts in (1, 2):
            together = model_of(own.rank, parts, gan_mode=mode, pool_size=0)
            distributed.share_weights(together.networks.values())
            with Alone():
                reference = model_of(0, gan_mode=mode, pool_size=0)
                joint = reference.optimize(batch).losses
            losses = together.optimize(half).losses
            found[f"{mode} {parts}"] = largest_difference(together, reference)
            mean = distributed.average(torch.stack(list(losses.values())))
            found[f"{mode} {parts} loss"] = float(mean.sum())
            found[f"{mode} {parts} joint loss"] = float(torch.stack(list(joint.values())).sum())
    return found


def check_equal_weights(own: distributed.Place) -> dict[str, float]:
    """Five steps on photos of each process's own, with pools of its own."""
    model = model_of(own.rank, pool_size=2, speedups=("merge", "adam"))
    distributed.share_weights(model.networks.values())
    for step in range(5):
        model.optimize(photos(2, seed=100 * own.rank + step))
    model.end_epoch()
    weights = torch.cat([p.detach().flatten() for n in model.networks.values() for p in n.parameters()])
    everywhere = distributed.gather((weights, model.pools["fake_A"].buffer))
    if everywhere is None:
        return {}
    (first, pool), (second, other_pool) = everywhere
    return {
        "differing": float((first != second).sum()),
        "entries": len(first),
        "pools differ": not torch.equal(pool, other_pool),
        "photos differ": not torch.equal(photos(2, seed=0)["A"], photos(2, seed=100)["A"]),
    }


def check_unequal_numbers(own: distributed.Place) -> str:
    """The complaint about numbers of photos that differ."""
    try:
        distributed.require_equal(own.rank, "not equal")
    except UserError as error:
        return str(error)
    return ""


def main() -> None:
    torch.set_num_threads(1)
    with distributed.started():
        own = distributed.place()
        answers = {
            "gradients": check_gradients(own),
            "weights": check_equal_weights(own),
            "unequal": check_unequal_numbers(own),
        }
        Path(sys.argv[1]).with_suffix(f".{own.rank}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
