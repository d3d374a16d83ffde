"""Every way to be faster gives the step of the plain way: losses and gradients, not only images."""

from __future__ import annotations

import copy

import pytest
import torch
from replay import recorded
from torch import Tensor

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.fast import speed as speed_module
from models.fast.speed import SPEEDUPS, SpeedOptions, speedup_names
from models.optimizers import create_adam, set_learning_rate
from util.arguments import OptionError, Parser, build

CPU = torch.device("cpu")
SMALL = {"netG": "resnet_2blocks", "ngf": 8, "ndf": 8, "pool_size": 2}
PLAIN = {"precision": "float32", "channels_last": "off", "speedups": ()}
ALL = {"precision": "float32", "channels_last": "on", "speedups": tuple(SPEEDUPS)}


def model_of(*, parts: int = 1, dtype: torch.dtype = torch.float32, **options: object) -> CycleGANModel:
    torch.manual_seed(0)
    model = CycleGANModel(build(CycleGANOptions, {**SMALL, **options}), CPU, training=True, parts=parts)
    for network in model.networks.values():
        network.to(dtype)
    return model


def photos(count: int, size: int = 64, dtype: torch.dtype = torch.float32, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(count, 3, size, size, generator=generator, dtype=dtype) * 2 - 1 for name in "AB"}


def gradients(model: CycleGANModel) -> dict[str, Tensor]:
    """Of all weights, and of the biases that do something: those before a normalisation have none but rounding."""
    found = {}
    for name, network in model.networks.items():
        for key, parameter in network.named_parameters():
            if key.endswith("weight") or (parameter.grad is not None and "model.26" in key):
                assert parameter.grad is not None, (name, key)
                found[f"{name}.{key}"] = parameter.grad
    return found


def assert_same_step(fast: CycleGANModel, plain: CycleGANModel, batch: dict[str, Tensor], tolerance: float) -> None:
    a, b = fast.optimize(batch), plain.optimize(batch)
    for name, loss in b.losses.items():
        assert a.losses[name].item() == pytest.approx(loss.item(), rel=tolerance), name
    for name, image in b.images.items():
        assert (a.images[name] - image).abs().max() < tolerance, name
    ours, theirs = gradients(fast), gradients(plain)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= tolerance * gradient.norm(), name


LEVERS = [{"speedups": (name,)} for name in SPEEDUPS if name != "winograd"]
LEVERS += [{"speedups": ("kernels", "winograd")}]
LEVERS += [ALL]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("lever", LEVERS, ids=str)
def test_every_exact_saving_keeps_the_gradients_in_float64(lever: dict, count: int) -> None:
    """To 1e-10 of their norm; with one image and channels last, where torch's instance norm has them wrong."""
    exact = {"dtype": torch.float64, "netG": "resnet_9blocks", "ngf": 8}
    fast, plain = model_of(**{**PLAIN, **lever}, **exact), model_of(**PLAIN, **exact)
    assert_same_step(fast, plain, photos(count, dtype=torch.float64), 1e-10)


NETWORKS = [
    {"norm": "batch"},
    {"norm": "none"},
    {"netG": "unet_128", "size": 128},
    {"netD": "pixel"},
    {"residual": True},
    {"gan_mode": "wgangp"},
    {"lambda_identity": 0.0},
    {"input_nc": 1, "output_nc": 1},
]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_every_network_and_objective_trains_alike_with_all_savings(options: dict) -> None:
    size, options = options.get("size", 64), {key: value for key, value in options.items() if key != "size"}
    runs = []
    for setting in (ALL, PLAIN):
        model = model_of(**setting, **options, dtype=torch.float64)
        batch = photos(2, size, torch.float64)
        if options.get("input_nc") == 1:
            batch = {name: images[:, :1] for name, images in batch.items()}
        torch.manual_seed(7)  # of dropout and of the points where wgangp takes its penalty
        step = model.optimize(batch)
        runs.append((model, step))
    (fast, a), (plain, b) = runs
    for name, loss in b.losses.items():
        assert a.losses[name].item() == pytest.approx(loss.item(), rel=1e-9), name
    for name, gradient in gradients(plain).items():
        assert (gradients(fast)[name] - gradient).norm() <= 1e-9 * gradient.norm() + 1e-12, name


def test_dropout_falls_on_the_same_layers() -> None:
    """Its dice fall in another order where images lie otherwise in memory; so without them."""
    fast, plain = (model_of(**setting, dropout=True).G_A.eval() for setting in (ALL, PLAIN))
    image = photos(2)["A"]
    assert torch.allclose(fast(image), plain(image), atol=1e-5)
    assert not torch.allclose(fast.train()(image), plain(image), atol=1e-3)


def test_float32_is_as_near_to_the_exact_gradients_as_plain_float32() -> None:
    exact, plain, fast = model_of(**PLAIN, dtype=torch.float64), model_of(**PLAIN), model_of(**ALL)
    batch = photos(2)
    exact.optimize({name: images.double() for name, images in batch.items()})
    plain.optimize(batch)
    fast.optimize(batch)
    truth, rounded, ours = gradients(exact), gradients(plain), gradients(fast)
    for net in ("G_A", "G_B", "D_A", "D_B"):
        names = [name for name in truth if name.startswith(net)]
        floor = max(float((rounded[name] - truth[name]).norm() / truth[name].norm()) for name in names)
        error = max(float((ours[name] - truth[name]).norm() / truth[name].norm()) for name in names)
        assert error <= 3 * floor + 1e-6, (net, error, floor)


@pytest.mark.slow
def test_a_compiled_network_has_the_gradients_of_the_plain_one() -> None:
    """With one image in channels-last order; slow to compile, so small."""
    options = {"netG": "resnet_1blocks", "ngf": 4, "ndf": 4}
    fast = model_of(**{**ALL, "compile": "default"}, **options)
    assert_same_step(fast, model_of(**PLAIN, **options), photos(1, 32), 2e-4)


def test_a_copy_of_a_network_computes_with_its_own_weights() -> None:
    network = model_of(**ALL).G_A
    twin = copy.deepcopy(network)
    image = photos(1)["A"]
    before = twin(image)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(twin(image), before)


@pytest.mark.parametrize(("first", "then"), [(PLAIN, ALL), (ALL, PLAIN)])
def test_a_state_moves_between_ways_to_compute(first: dict, then: dict) -> None:
    """Moments and weights go on, though they lie otherwise in memory; how Adam computes is the new run's."""
    exact = torch.float64
    stays, moves = model_of(**first, dtype=exact), model_of(**then, lr=0.123, dtype=exact)
    stays.optimize(photos(1, dtype=exact))
    for name, network in moves.networks.items():
        network.load_state_dict(stays.networks[name].state_dict())
    moves.load_state_dict(copy.deepcopy(stays.state_dict()))
    group = moves.optimizations["G"].optimizer.param_groups[0]
    assert group["fused"] == (True if then is ALL else None) and group["lr"] == pytest.approx(0.123)
    for optimization in moves.optimizations.values():
        set_learning_rate(optimization.optimizer, 2e-4)
    stays.optimize(photos(1, dtype=exact, seed=5))
    moves.optimize(photos(1, dtype=exact, seed=5))
    for name, network in stays.networks.items():
        for (key, theirs), ours in zip(network.named_parameters(), moves.networks[name].parameters(), strict=True):
            if key.endswith("weight"):
                assert (ours - theirs).abs().max() < 1e-6, (name, key)  # of Adam's step of 2e-4


@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(parts: int) -> None:
    batch = photos(6, 32, torch.float64)
    pool = {"pool_size": 0}  # which draws for each part anew
    whole, split = (model_of(**ALL, **pool, parts=n, dtype=torch.float64) for n in (1, parts))
    a, b = whole.optimize(batch), split.optimize(batch)
    for name, loss in a.losses.items():
        assert b.losses[name].item() == pytest.approx(loss.item(), rel=1e-10), name
    for name, gradient in gradients(whole).items():
        assert (gradients(split)[name] - gradient).norm() <= 1e-10 * gradient.norm(), name


# What a CUDA graph asks of the step, shown on a CPU by recording its operations and running them again.

REPLAYED = {"precision": "float32", "channels_last": "on", "speedups": ("merge", "adam")}


def on_the_device(model: CycleGANModel) -> None:
    """Give the optimizers their learning rates as tensors, as they are on a GPU."""
    for optimization in model.optimizations.values():
        parameters = optimization.optimizer.param_groups[0]["params"]
        optimization.optimizer = create_adam(parameters, 2e-4, (0.5, 0.999), CPU, fused=True, capturable=True)
        optimization.schedule.optimizer = optimization.optimizer


def test_thirty_replayed_steps_are_thirty_eager_ones_while_the_rate_decays() -> None:
    small = {"netG": "resnet_1blocks", "ngf": 4, "ndf": 4}
    replayed, eager = model_of(**REPLAYED, **small), model_of(**REPLAYED, **small)
    for model in (replayed, eager):
        on_the_device(model)
    inputs = {name: torch.zeros(2, 3, 32, 32) for name in "AB"}
    recording = result = None
    for step in range(30):
        batch = photos(2, 32, seed=step)
        for model in (replayed, eager):
            for optimization in model.optimizations.values():
                set_learning_rate(optimization.optimizer, 1e-3 * (1 - step / 30))
        expected = eager.optimize(batch)
        if step < 3:
            replayed.optimize(batch)
            continue
        for pool in (replayed.pool_B, replayed.pool_A):
            pool.draw([2])
        for name, images in inputs.items():
            images.copy_(batch[name])
        if recording is None:
            recording, result = recorded(replayed.step, inputs["A"], inputs["B"])
        else:
            recording.replay()
        assert result is not None
        for name, loss in expected.losses.items():
            assert result.losses[name].item() == pytest.approx(loss.item(), rel=1e-4, abs=1e-5), (step, name)
    for name, network in eager.networks.items():
        for ours, theirs in zip(replayed.networks[name].parameters(), network.parameters(), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5), name
    assert torch.allclose(replayed._epoch_loss, eager._epoch_loss, rtol=1e-4)


@pytest.mark.parametrize("options", [ALL, {"precision": "bf16"}, {**ALL, "gan_mode": "wgangp"}], ids=str)
def test_a_step_never_waits_for_the_device(options: dict) -> None:
    model = model_of(**options)
    on_the_device(model)
    model.optimize(photos(1))
    recording, _ = recorded(model.step, *photos(1).values())
    assert recording.looks == []
    assert len(recording.operations) > 500, "it was recorded"


# Options.


def test_speedups_are_named() -> None:
    assert speedup_names("all") == tuple(SPEEDUPS) and speedup_names("none") == ()
    assert speedup_names("adam,merge") == ("merge", "adam")
    assert speedup_names("merge,bias,rows") == ("merge",), "older runs may have saved these"
    parser = Parser()
    parser.add_section(SpeedOptions)
    assert parser.parse(["--compile", "--channels_last", "--cuda_graphs"]) == {
        "compile": "default",
        "channels_last": "on",
        "cuda_graphs": "on",
    }
    for wrong in ("fast", "no_adam"):
        with pytest.raises(SystemExit):
            parser.parse(["--speedups", wrong])


def test_a_run_says_how_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = SpeedOptions(precision="float32").resolve(CPU, training=True)
    assert speed.channels_last and "kernels" in speed.speedups
    assert speed.describe().startswith("float32, channels last, identity pass")
    monkeypatch.setattr(speed_module, "kernels_work", lambda device, dtype: "no C++ compiler found")
    speed = SpeedOptions(precision="float32").resolve(CPU, training=True)
    assert not speed.channels_last and speed.describe().endswith("; no custom kernels: no C++ compiler found")
    with pytest.raises(OptionError, match="--cuda_graphs on needs an NVIDIA GPU"):
        SpeedOptions(cuda_graphs="on").resolve(CPU, training=True)
