"""--init_from: a new run that begins with the networks of another, or with weights from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from processes import TINY, run
from small_runs import make_run
from test_cycle_gan import photos, small_model
from torch import Tensor, nn

from models.cycle_gan_model import CycleGANModel
from models.discriminators import DiscriminatorOptions, create_discriminator
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from options import parse_test_options, parse_train_options
from util.arguments import OptionError
from util.errors import UserError
from util.initial import Initial, find_initial
from util.run.checkpoint import CheckpointError, load_network
from util.run.progress import Progress
from util.run.resume import Beginning
from util.run.run_folder import RunFolder
from util.run.saving import SavingOptions


def generator(norm: str = "instance", ngf: int = 4) -> nn.Module:
    """A small one, whose batch norms, if it has some, have seen images."""
    network = create_generator(NetworkOptions(norm=norm), GeneratorOptions("resnet_1blocks", ngf))
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 16, 16))
    return network.eval()


def discriminator(ndf: int = 4) -> nn.Module:
    return create_discriminator(NetworkOptions(), DiscriminatorOptions(ndf=ndf), 3, torch.device("cpu"))


def output(network: nn.Module) -> Tensor:
    """What it makes of one image."""
    with torch.no_grad():
        return network(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32))


def same(a: nn.Module, b: nn.Module) -> bool:
    return torch.equal(output(a), output(b))


def four() -> dict[str, nn.Module]:
    return {"G_A": generator(), "G_B": generator(), "D_A": discriminator(), "D_B": discriminator()}


def plain(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + key: value for key, value in network.state_dict().items()}


@pytest.mark.parametrize(
    "prefixes",
    [
        ("net_G_A.", "net_G_B.", "net_D_A."),
        ("netG_A2B.module.", "netG_B2A.module.", "netD_A.module."),
        ("G_AB.", "G_BA.", "D_A."),
    ],
)
def test_a_checkpoint_of_lightning_gives_each_network_its_own(tmp_path: Path, prefixes: tuple[str, ...]) -> None:
    saved, loaded, told = four(), four(), []
    tensors = {
        key: value
        for prefix, network in zip(prefixes, saved.values(), strict=False)
        for key, value in plain(network, prefix).items()
    }
    rest = {
        "epoch": 3,
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "callbacks": {},
        "hyper_parameters": argparse.Namespace(lr=2e-4),
    }
    torch.save({"state_dict": tensors, **rest}, tmp_path / "last.ckpt")
    find_initial(str(tmp_path / "last.ckpt"), "latest", tmp_path).load(loaded, told.append)
    assert same(saved["G_A"], loaded["G_A"]) and same(saved["G_B"], loaded["G_B"])
    assert same(saved["D_A"], loaded["D_A"])
    assert (
        len(told) == 2 and "starting from G_A, G_B, D_A of" in told[0] and "D_B starts from random weights" in told[1]
    )


@pytest.mark.parametrize("name", ["monet.pth", "latest_net_G.pth", "latest_net_G_B.pth"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: plain(network),
        lambda network: {"state_dict": plain(network), "epoch": 5},
        lambda network: {"model": {"netG": plain(network, "module.")}, "args": None},
    ],
)
def test_a_file_of_one_generator_is_that_of_its_name(tmp_path: Path, name: str, wrap: object) -> None:
    saved, loaded, told = generator(), four(), []
    torch.save(wrap(saved), tmp_path / name)  # type: ignore[operator]
    find_initial(str(tmp_path / name), "latest", tmp_path).load(loaded, told.append)
    filled, other = ("G_B", "G_A") if "G_B" in name else ("G_A", "G_B")
    assert same(saved, loaded[filled]) and not same(saved, loaded[other])
    assert f"starting from {filled} of" in told[0] and len(told) == 4
    load_network(single := generator(), tmp_path / name)
    assert same(saved, single), "test.py takes it under any name"


def test_biases_before_batch_norms_change_nothing(tmp_path: Path) -> None:
    """Other code has them, and there is no place for them here: they go into the running means."""
    saved, loaded = generator("batch"), generator("batch")
    state = plain(saved)
    for key in [key for key in state if key.endswith("running_mean")]:
        layer, _, number = key.removesuffix(".running_mean").rpartition(".")
        bias = torch.randn_like(state[key])
        state[f"{layer}.{int(number) - 1}.bias"] = bias
        state[key] = state[key] + bias
    torch.save(state, tmp_path / "biased.pth")
    load_network(loaded, tmp_path / "biased.pth")
    assert torch.allclose(output(saved), output(loaded), atol=1e-5)


def test_convolutions_without_biases_get_those_of_0(tmp_path: Path) -> None:
    saved, loaded = generator(), generator()
    state = {key: value for key, value in plain(saved).items() if not key.endswith(".bias")}
    for key, value in saved.state_dict().items():
        if key.endswith(".bias"):
            value.zero_()
    torch.save(state, tmp_path / "plain.pth")
    load_network(loaded, tmp_path / "plain.pth")
    assert torch.allclose(output(saved), output(loaded), atol=1e-5)


def test_what_is_not_in_a_file_is_told(tmp_path: Path) -> None:
    torch.save({"optimizer": {"lr": 1}}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match=r"empty\.pth contains no tensors"):
        find_initial(str(tmp_path / "empty.pth"), "latest", tmp_path).load(four())
    torch.save({"enc": plain(generator()), "dec": plain(generator())}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"several networks \('enc\.', 'dec\.'\), and none of them is named G_A"):
        find_initial(str(tmp_path / "two.pth"), "latest", tmp_path).load(four())
    torch.save(plain(generator(ngf=8)), tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match=r"wide\.pth does not fit this network.*Check --netG"):
        find_initial(str(tmp_path / "wide.pth"), "latest", tmp_path).load(four())
    RunFolder(tmp_path, "known").save({"G_A": generator()}, {})
    with pytest.raises(UserError, match=r"--init_from unknown: not a run.*; runs in .*: known"):
        find_initial("unknown", "latest", tmp_path)


def test_the_model_that_comes_with_the_project_can_be_trained_further() -> None:
    initial = find_initial("young2old", "latest", Path(__file__).resolve().parents[1] / "checkpoints")
    options = argparse.Namespace(**initial.options())
    net = NetworkOptions(norm=options.norm)
    shape = GeneratorOptions(
        options.netG, options.ngf, upsample=options.upsample, residual=options.residual, position=options.position
    )
    networks = {name: create_generator(net, shape) for name in ("G_A", "G_B", "raw_G_A", "raw_G_B")}
    loaded = initial.load(networks | {"D_A": discriminator()}, lambda line: None)
    assert loaded == list(networks)
    assert same(networks["G_A"], networks["raw_G_A"]) and not same(networks["G_A"], networks["G_B"])


def test_what_fits_any_weights_may_differ_from_the_run_that_gives_them(tmp_path: Path) -> None:
    make_run(tmp_path, "small", residual=True, fade=0.0, grey_hair=0.0, upsample="resize", position=True)
    words = ["--dataroot", str(tmp_path), "--checkpoints_dir", str(tmp_path)]
    new = [*words, "--name", "new", "--init_from", "small"]
    kept, typed, preset = (
        parse_train_options([*new, *more]).model.generator
        for more in ([], ["--fade", "0.2", "--grey_hair", "0.5"], ["--preset", "best"])
    )
    assert [(each.fade, each.grey_hair) for each in (kept, typed, preset)] == [(0, 0), (0.2, 0.5), (0.1, 0.85)]
    assert preset.netG == "resnet_2blocks", "the weights fit no other"
    assert parse_test_options([*words, "--name", "small", "--grey_hair", "0.3"]).model.generator.grey_hair == 0.3


def test_a_run_gives_its_networks_and_what_describes_them(demo_faces: Path, tmp_path: Path) -> None:
    new = ["--dataroot", str(demo_faces), "--checkpoints_dir", str(tmp_path), "--name", "large", "--init_from", "small"]
    words = [
        "--dataroot",
        demo_faces,
        "--checkpoints_dir",
        tmp_path,
        *TINY.split(),
        *"--max_dataset_size 2 --n_epochs 1 --n_epochs_decay 1 --save_epoch_freq 1 --no_html".split(),
    ]
    run("train.py", *words, "--name", "small", "--residual")
    options = parse_train_options([*new, "--epoch", "1", "--ndf", "6", "--load_size", "72", "--crop_size", "64"])
    assert options.model.generator.residual and options.model.generator.ngf == 4
    assert options.model.discriminator.ndf == 6 and options.data.transform.crop_size == 64
    assert options.model.schedule.n_epochs == 100, "other options are those of a new run"
    for typed, complaint in (
        (["--ngf", "8"], r"--ngf 8 contradicts the networks of --init_from .*small, which were trained with --ngf 4"),
        (["--direction", "BtoA"], "--direction BtoA contradicts .* --direction AtoB"),
        (["--continue_train"], "omit one of them"),
    ):
        with pytest.raises(OptionError, match=complaint):
            parse_train_options([*new, *typed])
    size = (
        "--load_size 52 --crop_size 48 --n_epochs 1 --n_epochs_decay 0 --lr 1e-9 --max_dataset_size 2 "
        "--num_threads 0 --no_visdom --no_html --gpu_ids -1 --precision float32"
    ).split()
    told = run("train.py", *new, *size, "--epoch", "1", "--ndf", "6")
    assert "starting from G_A, G_B of" in told and "small (1)" in told
    assert "D_A starts from random weights" in told and "(4, 3, 4, 4) in the file and (6, 3, 4, 4) here" in told
    told = run("train.py", *new[:5], "same", *new[6:], *size)
    assert "starting from G_A, G_B, D_A, D_B of" in told
    again = run("train.py", "--name", "same", *new[2:4], "--continue_train", "--n_epochs_decay", "1")
    assert "at epoch 2, image 0" in again and "starting from" not in again
    for name in ("G_A", "D_B"):
        first, now = (torch.load(tmp_path / run / f"latest_net_{name}.pth") for run in ("small", "same"))
        assert all(torch.allclose(first[key], now[key], atol=1e-6) for key in first)


def test_a_preset_decides_how_the_discriminators_of_another_run_go_on(demo_faces: Path, tmp_path: Path) -> None:
    words = ["--dataroot", str(demo_faces), "--checkpoints_dir", str(tmp_path), "--match", "none"]
    start = parse_train_options([*words, "--name", "start", "--preset", "fast128", "--head_width", "8"])
    start.folder.save({"G_A": generator()}, {})
    start.folder.write_options(start.values, start.table)
    values = parse_train_options([*words, "--name", "new", "--preset", "best", "--init_from", "start"]).values
    assert (values["features_smallest"], values["features_size"]) == (72, 144), "of best, and not of the first run"
    assert values["head_width"] == 8, "what the preset says nothing about is as it was"
    assert values["position"] and values["crop_size"] == 192


def begin(model: CycleGANModel, folder: RunFolder, label: str = "latest", source: RunFolder | None = None) -> list[str]:
    """Begin a run of one epoch, as train.py does; returns what it says."""
    told: list[str] = []
    saving, initial = SavingOptions(continue_train=source is None), Initial(source, label) if source else None
    Beginning(folder, saving, label, None, initial, ()).prepare(model, Progress(2, 1), told.append)
    return told


def test_a_new_run_takes_averages_and_discriminators_over(tmp_path: Path) -> None:
    old, folder = small_model(ema=0.9, lr=0.01, warm_up_D=2), RunFolder(tmp_path, "old")
    old.optimize(photos())
    assert not same(old.networks["G_A"], old.networks["raw_G_A"]), "an average is behind its network"
    folder.save(old.networks, {}, keep=["1"])
    new = small_model(seed=1, ema=0.9, warm_up_D=2)
    told = begin(new, RunFolder(tmp_path, "new"), source=folder)
    assert "starting from G_A, G_B, D_A, D_B, raw_G_A, raw_G_B of" in told[0]
    assert all(same(old.networks[name], network) for name, network in new.networks.items())
    assert new.averages and new.averages.averaged["G_A"] is new.networks["G_A"]
    assert new.warm_up_done == 2, "the discriminators were warmed up"
    new.optimize(photos(2))
    before, now = old.networks["G_A"].state_dict(), new.networks["G_A"].state_dict()
    for key, raw in new.G_A.state_dict().items():
        assert torch.allclose(now[key], 0.9 * before[key] + 0.1 * raw, atol=1e-6), "the full decay from the first step"
    resumed = small_model(seed=1, ema=0.9, warm_up_D=2)
    begin(resumed, folder, "1")
    assert same(resumed.D_A, old.D_A) and resumed.warm_up_done == 2
    assert resumed.averages and resumed.averages.steps > 10**6, (
        "nor does the decay begin at 0.1 when an epoch is restarted"
    )
    plain = small_model(seed=1)
    told = begin(plain, RunFolder(tmp_path, "plain"), source=folder)
    assert same(plain.G_B, old.networks["G_B"]) and "starting from G_A, G_B, D_A, D_B of" in told[0]
    assert "G_A, G_B are moving averages; with --ema" in told[1] and "raw_G_A, raw_G_B" in told[1]


def test_averages_begin_at_generators_without_averages_and_new_discriminators_are_warmed_up(tmp_path: Path) -> None:
    old, folder = small_model(), RunFolder(tmp_path, "old")
    folder.save(old.networks, {})
    new = small_model(seed=1, ema=0.9, warm_up_D=2, ndf=6)
    told = begin(new, RunFolder(tmp_path, "new"), source=folder)
    assert "starting from G_A, G_B of" in told[0] and "D_A starts from random weights" in told[1]
    assert same(new.networks["G_A"], old.G_A) and same(new.networks["raw_G_A"], old.G_A)
    assert new.warm_up_done == 0
