"""What only a CUDA GPU can show: its losses and gradients are the CPU's, and a run moves between the two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import TINY, run

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from util.arguments import build

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


def model_on(device: str) -> CycleGANModel:
    torch.manual_seed(0)
    small = {"netG": "resnet_2blocks", "ngf": 8, "ndf": 8, "pool_size": 2, "precision": "float32"}
    return CycleGANModel(build(CycleGANOptions, small), torch.device(device), training=True)


def test_one_step_gives_the_cpus_losses_and_gradients() -> None:
    batch = {name: torch.rand(2, 3, 64, 64) * 2 - 1 for name in "AB"}
    on_cpu, on_gpu = model_on("cpu"), model_on("cuda")
    for name, network in on_gpu.networks.items():
        network.load_state_dict(on_cpu.networks[name].state_dict())
    expected, losses = on_cpu.optimize(batch).losses, on_gpu.optimize(batch).losses
    for name, loss in losses.items():
        assert loss.device.type == "cuda" and loss.item() == pytest.approx(expected[name].item(), rel=1e-3), name
    for name, network in on_gpu.networks.items():
        ours = torch.cat([p.grad.flatten().cpu() for p in network.parameters()])
        theirs = torch.cat([p.grad.flatten() for p in on_cpu.networks[name].parameters()])
        assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.999, name


def test_hair_turns_as_grey_as_on_the_cpu() -> None:
    shape = {"netG": "resnet_1blocks", "ngf": 8, "residual": True, "grey_hair": 0.8, "precision": "float32"}
    models = [
        CycleGANModel(build(CycleGANOptions, shape), torch.device(device), training=False) for device in ("cpu", "cuda")
    ]
    for name, network in models[1].networks.items():
        network.load_state_dict(models[0].networks[name].state_dict())
    batch = {"A": torch.rand(2, 3, 192, 192) * 2 - 1}
    on_cpu, on_gpu = (model.translate(batch)["fake_B"] for model in models)
    assert on_gpu.device.type == "cuda" and (on_gpu.cpu() - on_cpu).abs().max() < 1e-3


def test_a_run_begun_on_the_gpu_goes_on_on_the_cpu_and_back(demo_faces: Path, tmp_path: Path) -> None:
    words = ["--dataroot", demo_faces, "--checkpoints_dir", tmp_path, *TINY.replace("--gpu_ids -1", "").split()]
    run("train.py", *words, "--gpu_ids", "0", "--n_epochs", "1", "--n_epochs_decay", "0")
    run("train.py", *words, "--gpu_ids", "-1", "--continue_train", "--n_epochs", "2")
    assert "cuda:0" in run("train.py", *words, "--gpu_ids", "0", "--continue_train", "--n_epochs", "3")
