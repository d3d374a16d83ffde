"""The Triton kernels, as far as a machine without a GPU shows: by Triton's interpreter, and compiled for two GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from processes import ROOT

pytest.importorskip("triton", reason="Triton comes with torch's builds for GPUs")

INTERPRET = """
    import torch
    from models.fast import norm, norm_cuda
    norm.kernels_for = lambda device: norm_cuda
    cases = [(2, 70, 5, 4, 3, 0.0, False), (1, 5, 8, 6, 1, 1.0, True), (1, 8, 36, 36, 0, 0.2, False)]
    torch.manual_seed(0)
    types = ((torch.float32, 1e-5, cases), (torch.float64, 1e-12, cases[1:2]), (torch.bfloat16, 0.04, cases[:2]))
    for dtype, tolerance, tried in types:
        for images, channels, height, width, padding, slope, adds in tried:
            x = (torch.randn(images, channels, height, width) * 2 + 3).to(dtype).requires_grad_()
            residual = torch.randn(x.shape, dtype=norm.accumulation_type(dtype)).requires_grad_() if adds else None
            inputs = [x, residual] if adds else [x]
            found = []
            for compute in (norm.norm_act_pad, norm.reference):
                outputs = compute(x, residual, padding, slope, 1e-5)
                incoming = [torch.linspace(-1, 1, y.numel()).view_as(y).to(y.dtype) for y in outputs]
                found.append([*outputs, *torch.autograd.grad(outputs, inputs, incoming)])
            for ours, theirs in zip(*found):
                assert (ours.double() - theirs.double()).abs().max() < tolerance, (dtype, images, channels)
    print("as torch's")
"""


def test_the_interpreted_kernels_give_torchs_outputs_and_gradients() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(INTERPRET)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0 and run.stdout == "as torch's\n", run.stderr


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_for_ampere_and_hopper(capability: int) -> None:
    import triton.language as tl
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from models.fast import norm_cuda

    kinds = {"x": "*bf16", "padded": "*bf16", "of_padded": "*bf16", "of_x": "*bf16"}
    kinds |= dict.fromkeys(("residual", "plain", "mean", "scale", "partial", "of_plain", "of_residual"), "*fp32")
    kinds |= dict.fromkeys(("pixels", "height", "width", "channels"), "i32") | {"slope": "fp32", "eps": "fp32"}
    constants = {
        "WIDE": tl.float32,
        "SPLITS": 32,
        "BP": norm_cuda.PIXELS,
        "BC": norm_cuda.CHANNELS,
        "PADDING": 1,
        "ADDS": True,
        "KEEPS": True,
        "HAS_PADDED": True,
        "HAS_PLAIN": True,
    }
    for kernel in (norm_cuda._sums, norm_cuda._forward, norm_cuda._backward_sums, norm_cuda._backward):
        signature = {name: kinds.get(name, "constexpr") for name in kernel.arg_names}
        given = {name: value for name, value in constants.items() if name in kernel.arg_names}
        made = compile_kernel(ASTSource(kernel, signature, given), target=GPUTarget("cuda", capability, 32))
        assert made.asm["cubin"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu_they_pass_their_own_check(dtype: torch.dtype) -> None:
    from models.fast.norm import kernels_work

    assert kernels_work(torch.device("cuda", 0), dtype) == ""
