"""The fused normalisation is the layers it stands for, gradients included: by torch's operations in float64."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from processes import run
from torch import Tensor, nn

from models.fast import compiled as compiled_kernels
from models.fast.norm import composed, kernels_work, norm_act_pad, reference
from models.fast.speed import SPEEDUPS, Speed, accelerate
from models.fast.winograd import convolve_3x3
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions

CASES = [  # images, channels, height, width, padding, slope, with residual
    (1, 5, 7, 9, 0, 0.0, False),
    (2, 70, 8, 8, 3, 0.0, False),
    (2, 16, 8, 6, 1, 1.0, True),
    (1, 8, 5, 4, 0, 0.2, False),
    (3, 8, 4, 4, 3, 1.0, True),
    (1, 4, 40, 40, 1, 0.0, False),
    (2, 1, 6, 6, 2, 1.0, False),
]


@pytest.fixture(scope="module")
def compiled() -> None:
    """The kernels work wherever there is a C++ compiler."""
    reason = kernels_work(torch.device("cpu"), torch.float32)
    if "no C++ compiler" in reason:
        pytest.skip(reason)
    assert not reason


def by_layers(x: Tensor, residual: Tensor | None, padding: int, slope: float, eps: float) -> tuple[Tensor, Tensor]:
    """What a network without fusion has: torch's layers, in channels-first order, where they are right."""
    x = x.contiguous()
    y = nn.InstanceNorm2d(x.shape[1], eps=eps)(x)
    y = y if residual is None else y + residual
    y = F.leaky_relu(y, slope)
    return nn.ReflectionPad2d(padding)(y), y


def results(compute, case, dtype: torch.dtype, memory_format: torch.memory_format) -> list[Tensor]:  # type: ignore[no-untyped-def]
    """Outputs and input gradients, where images and incoming gradients are of one order in memory."""
    images, channels, height, width, padding, slope, has_residual = case
    generator = torch.Generator().manual_seed(0)
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def tensor(*shape: int, kind: torch.dtype) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 3
        return values.to(dtype).to(kind).contiguous(memory_format=memory_format)

    x = tensor(images, channels, height, width, kind=dtype).requires_grad_()
    residual = tensor(images, channels, height, width, kind=wide).requires_grad_() if has_residual else None
    outputs = compute(x, residual, padding, slope, 1e-5)
    incoming = [tensor(*y.shape, kind=y.dtype) for y in outputs]
    return [*outputs, *torch.autograd.grad(outputs, [x] if residual is None else [x, residual], incoming)]


@pytest.mark.parametrize("compute", [norm_act_pad, composed, reference])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_the_layers(compute, memory_format, case, compiled: None) -> None:  # type: ignore[no-untyped-def]
    """A single image in channels-last order among them, for which F.instance_norm gives a CPU wrong gradients."""
    expected = results(by_layers, case, torch.float64, torch.contiguous_format)
    for ours, theirs in zip(results(compute, case, torch.float64, memory_format), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(results(compute, case, torch.float32, memory_format), expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_the_rounded_result(case, compiled: None) -> None:  # type: ignore[no-untyped-def]
    """Arithmetic in float32: what is written differs from the exact result by its own rounding alone."""
    for ours, theirs in zip(
        results(norm_act_pad, case, torch.bfloat16, torch.channels_last),
        results(reference, case, torch.bfloat16, torch.contiguous_format),
        strict=True,
    ):
        assert ours.dtype == theirs.dtype
        one_step = torch.finfo(ours.dtype).eps * theirs.abs().max().item() + 2e-5
        assert (ours.double() - theirs.double()).abs().max() <= one_step
        if ours.dtype == torch.bfloat16:
            assert (ours != theirs).float().mean() < 0.01


def test_results_do_not_depend_on_the_number_of_threads(compiled: None) -> None:
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            runs.append(results(norm_act_pad, (3, 20, 17, 19, 1, 0.0, False), torch.bfloat16, torch.channels_last))
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, runs[0], strict=True))


def test_a_mean_far_from_zero_costs_no_digits(compiled: None) -> None:
    x = torch.randn(1, 8, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    far = x + 1000.0
    exact, _ = reference(far, None, 0, 1.0, 1e-5)
    ours, _ = norm_act_pad(far.float(), None, 0, 1.0, 1e-5)
    rounding_of_the_input = 1000.0 * 2**-24
    assert (ours - exact).abs().max() < 4 * rounding_of_the_input


def test_what_is_no_number_stays_none(compiled: None) -> None:
    x = torch.randn(1, 8, 4, 4).bfloat16()
    x[0, 3, 1, 1] = float("nan")
    padded, _ = norm_act_pad(x, None, 1, 1.0, 1e-5)
    assert padded[0, 3].isnan().all() and not padded[0, :3].isnan().any()


def test_what_cannot_be_is_refused() -> None:
    x = torch.rand(1, 2, 4, 4)
    with pytest.raises(ValueError, match="padding of 4 pixels"):
        norm_act_pad(x, None, 4, 0.0, 1e-5)
    with pytest.raises(ValueError, match="residual"):
        norm_act_pad(x, x, 1, 0.0, 1e-5)


def test_a_second_derivative_is_refused_rather_than_wrong(compiled: None) -> None:
    x = torch.rand(1, 2, 4, 4, requires_grad=True)
    padded, _ = norm_act_pad(x, None, 1, 0.0, 1e-5)
    (gradient,) = torch.autograd.grad(padded.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(("compiler", "reason"), [("/nowhere/c++", "No such file"), ("false", "cannot compile")])
def test_without_a_working_compiler_training_goes_on_with_torchs_layers(
    tmp_path: Path, compiler: str, reason: str
) -> None:
    script = tmp_path / "resolve.py"
    script.write_text(
        "import torch; from models.fast.speed import SpeedOptions; cpu = torch.device('cpu')\n"
        "speed = SpeedOptions(precision='float32').resolve(cpu, training=True)\n"
        "print(speed.channels_last, speed.describe())"
    )
    printed = run(script, variables={"CXX": compiler, "XDG_CACHE_HOME": str(tmp_path)})
    assert printed.startswith("False") and "no custom kernels: " in printed and reason in printed
    assert not list(tmp_path.rglob("*.so")), "nothing is left that would be taken for compiled kernels"


def test_kernels_are_compiled_once(tmp_path: Path, compiled: None) -> None:
    script = tmp_path / "compile.py"
    script.write_text(
        "import torch; from models.fast.norm import kernels_work\n"
        "assert not kernels_work(torch.device('cpu'), torch.float32)"
    )
    variables = {"XDG_CACHE_HOME": str(tmp_path)}
    for _ in range(2):
        run(script, variables=variables)
        (library,) = tmp_path.rglob("*.so")
        variables["PATH"] = str(Path(sys.executable).parent)  # from now on, no compiler is found
        variables["CXX"] = compiled_kernels.shutil.which("g++") or compiled_kernels.shutil.which("clang++") or ""
    assert library.name.startswith("norm_")


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours.detach().double() - exact.detach()).norm() / exact.detach().norm())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 16, 24, 6, 8), (2, 32, 16, 9, 12), (1, 64, 64, 18, 18), (3, 16, 16, 4, 4)])
def test_a_3x3_convolution_in_fewer_products_is_one(
    shape: tuple[int, ...], memory_format: torch.memory_format, compiled: None
) -> None:
    """Outputs, input gradients and weight gradients: exact in float64, to rounding in float32 and bfloat16."""
    images, inputs, outputs, height, width = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, inputs, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator, dtype=torch.float64) * 0.1
    for dtype, bound in ((torch.float64, 1e-14), (torch.float32, 2e-6), (torch.bfloat16, 0.008)):
        own = [x.to(dtype), weight.to(torch.promote_types(dtype, torch.float32))]
        own = [tensor.contiguous(memory_format=memory_format).requires_grad_() for tensor in own]
        exact = [tensor.detach().double().requires_grad_() for tensor in own]
        made, expected = convolve_3x3(*own), F.conv2d(*exact)
        incoming = torch.randn(made.shape, generator=generator, dtype=torch.float64).to(dtype)
        gradients = torch.autograd.grad(made, own, incoming)
        expectations = torch.autograd.grad(expected, exact, incoming.double())
        assert made.dtype == dtype and gradients[1].dtype == own[1].dtype
        for ours, theirs in zip((made, *gradients), (expected, *expectations), strict=True):
            assert relative(ours, theirs) < bound, dtype


def test_only_what_is_asked_for_is_computed(compiled: None) -> None:
    x, weight = torch.rand(1, 16, 8, 8), torch.rand(16, 16, 3, 3)
    for frozen in (0, 1):
        tensors = [tensor.clone().requires_grad_(number != frozen) for number, tensor in enumerate((x, weight))]
        convolve_3x3(*tensors).sum().backward()
        assert (tensors[frozen].grad is None) and (tensors[1 - frozen].grad is not None)


def test_images_of_another_type_under_autocast(compiled: None) -> None:
    """float32 images among 16-bit networks are what they are for torch's own convolution: cast first."""
    x, weight = torch.rand(1, 16, 8, 8, requires_grad=True), torch.rand(16, 16, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        made = convolve_3x3(x, weight)
    made.sum().backward()
    assert made.dtype == torch.bfloat16 and x.grad is not None and x.grad.dtype == torch.float32
    assert relative(made, F.conv2d(x.double(), weight.double())) < 0.008


def test_odd_sizes_are_translated_all_the_same(compiled: None) -> None:
    """Of 20 pixels a side the residual blocks see 5, which pairs do not cover: they take the plain convolution."""
    torch.manual_seed(0)
    network = create_generator(NetworkOptions(), GeneratorOptions("resnet_2blocks", 8))
    image = torch.rand(1, 3, 20, 20)
    expected = network(image)
    accelerate(network, Speed(channels_last=True, speedups=frozenset(SPEEDUPS)))
    assert torch.allclose(network(image), expected, atol=1e-5)
