"""Training in 16 bits: the same losses and gradients up to rounding, float32 weights, images and losses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import TINY, run
from torch import Tensor

from models import precision as precision_module
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.precision import resolve_precision
from util.arguments import OptionError, build

CPU = torch.device("cpu")


def model_in(precision: str, **options: object) -> CycleGANModel:
    torch.manual_seed(0)
    small = {"netG": "resnet_2blocks", "ngf": 16, "ndf": 16, "pool_size": 2, "precision": precision}
    return CycleGANModel(build(CycleGANOptions, {**small, **options}), CPU, training=True)


def photos(count: int, size: int = 64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(count, 3, size, size, generator=generator) * 2 - 1 for name in "AB"}


def gradient(network: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("options", [{}, {"residual": True}, {"netD": "pixel"}, {"gan_mode": "wgangp"}])
def test_bf16_has_the_losses_and_gradients_of_float32(count: int, options: dict) -> None:
    """Up to rounding: at random weights the signs of small differences flip, and gradients are 0.96 alike."""
    exact, rounded = model_in("float32", **options), model_in("bf16", **options)
    batch = photos(count)
    torch.manual_seed(5)  # of the points at which wgangp takes its penalty
    expected = exact.optimize(batch)
    torch.manual_seed(5)
    step = rounded.optimize(batch)
    for name, loss in step.losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected.losses[name].item(), rel=0.03, abs=0.01), name
    for name, image in step.images.items():
        assert image.dtype == torch.float32 and (image - expected.images[name]).abs().mean() < 0.02, name
    for name, network in rounded.networks.items():
        ours, theirs = gradient(network), gradient(exact.networks[name])
        assert ours.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.9, name
        assert ours.norm() == pytest.approx(theirs.norm().item(), rel=0.1), name


def test_convolutions_really_compute_in_bf16() -> None:
    seen = {}
    for precision in ("float32", "bf16"):
        model = model_in(precision)
        types = seen[precision] = set()
        for network in model.networks.values():
            for module in network.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                    module.register_forward_hook(lambda _module, _input, output, types=types: types.add(output.dtype))
        model.optimize(photos(1))
    assert seen == {"float32": {torch.float32}, "bf16": {torch.bfloat16}}


def test_thirty_steps_in_bf16_end_where_those_in_float32_do() -> None:
    ends = []
    for precision in ("float32", "bf16"):
        model, batch = model_in(precision, lr=1e-3), photos(1, 32)
        values = [model.optimize(batch).losses for _ in range(30)]
        ends.append(sum(float(losses["cycle_A"] + losses["cycle_B"]) for losses in values[-5:]) / 5)
    first = float(values[0]["cycle_A"] + values[0]["cycle_B"])
    assert ends[1] < 0.9 * first and ends[1] == pytest.approx(ends[0], rel=0.1)


def test_what_a_device_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="--precision fp16 needs a GPU"):
        resolve_precision("fp16", CPU, training=True)
    with pytest.raises(OptionError, match="--precision tf32 needs an NVIDIA GPU"):
        resolve_precision("tf32", CPU, training=True)
    for quick, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(precision_module, "has_quick_bf16", lambda device, quick=quick: quick)
        assert resolve_precision("auto", CPU, training=True) == expected
        assert resolve_precision("auto", CPU, training=False) == "float32"
    assert resolve_precision("bf16", CPU, training=False) == "bf16"


def test_a_state_from_before_there_were_scalers_loads() -> None:
    model = model_in("bf16")
    model.optimize(photos(1))
    state = model.state_dict()
    del state["scalers"]
    model_in("float32").load_state_dict(state)


def test_a_run_says_its_precision_and_goes_on_in_another(demo_faces: Path, tmp_path: Path) -> None:
    words = ["--dataroot", demo_faces, "--checkpoints_dir", tmp_path, *TINY.split(), "--max_dataset_size", "8"]
    printed = run("train.py", *words, "--precision", "float32", "--n_epochs", "1", "--n_epochs_decay", "0")
    assert " in float32, 8 images per epoch" in printed
    printed = run("train.py", *words, "--continue_train", "--precision", "bf16", "--n_epochs", "2")
    assert " in bf16, 8 images per epoch" in printed
    assert "--precision fp16 needs a GPU" in run("train.py", *words, "--name", "x", "--precision", "fp16", status=2)
