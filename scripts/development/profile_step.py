"""Profile a training step with torch's profiler, by kind of operation.

    python scripts/development/profile_step.py --crop_size 256 --batch_size 1
    python scripts/development/profile_step.py --crop_size 128 --speedups none --precision float32 --trace step.json

Accepts the model options of train.py (--precision, --speedups, --netG, ...). Open the trace in Perfetto or in
chrome://tracing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from scripts.development.benchmarking.rounds import columns
from util.arguments import Parser, build
from util.device import describe_device, keep_freed_memory, select_device
from util.errors import told_in_one_line

KINDS = {
    "convolutions": ("conv", "cudnn", "cutlass", "gemm", "xmma", "wgrad", "dgrad"),
    "normalisation, activation, padding": (
        "norm",
        "var_mean",
        "relu",
        "reflection_pad",
        "_sums",
        "_forward",
        "_backward",
    ),
    "optimizer": ("adam", "_foreach", "multi_tensor"),
    "copies and casts": ("copy", "cast", "to_copy", "cat", "memcpy", "memset", "fill", "zero"),
    "pools and photos": ("index", "where"),
}
"""Words in the names of operations and kernels, tested in this order."""


def main() -> None:
    """Profile a step and print a table."""
    keep_freed_memory()
    parser = Parser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(CycleGANOptions)
    parser.add_argument("--crop_size", type=int, default=256, help="width and height in pixels (default: 256)")
    parser.add_argument("--batch_size", type=int, default=1, help="pairs per step (default: 1)")
    parser.add_argument("--steps", type=int, default=3, help="number of profiled steps, after a warm-up (default: 3)")
    parser.add_argument("--gpu_ids", default="auto", help="as for train.py (default: auto)")
    parser.add_argument("--trace", type=Path, default=None, help="file for a trace (default: none)")
    words = parser.parse()
    crop_size, batch_size = words.pop("crop_size", 256), words.pop("batch_size", 1)
    steps, trace = words.pop("steps", 3), words.pop("trace", None)
    device = select_device(words.pop("gpu_ids", "auto"))
    model = CycleGANModel(build(CycleGANOptions, words), device, training=True)
    batch = {name: (torch.rand(batch_size, 3, crop_size, crop_size) * 2 - 1).to(device) for name in "AB"}
    for _ in range(5 if device.type == "cuda" else 1):
        model.optimize(batch)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiled:
        for _ in range(steps):
            model.optimize(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    print(f"{describe_device(device)}: {model.speed.describe()}; {crop_size} px, batch {batch_size}")
    print(table(profiled, steps, device))
    if trace is not None:
        profiled.export_chrome_trace(str(trace))


def table(profiled: profile, steps: int, device: torch.device) -> str:
    """A table of the milliseconds per step and the share of each kind, and of the slowest operations."""
    attribute = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    times = {event.key: getattr(event, attribute) / 1e3 / steps for event in profiled.key_averages()}
    counts = {event.key: event.count / steps for event in profiled.key_averages()}
    times = {name: milliseconds for name, milliseconds in times.items() if milliseconds > 0}
    total = sum(times.values())
    kinds: dict[str, float] = {}
    for name, milliseconds in times.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + milliseconds
    rows = [["kind", "ms per step", "share"]]
    rows += [
        [kind, f"{value:.2f}", f"{100 * value / total:.1f} %"] for kind, value in sorted(kinds.items(), key=_second)
    ]
    most = [["operation", "ms per step", "share", "calls per step"]]
    for name, value in sorted(times.items(), key=_second)[:15]:
        most.append([name[:70], f"{value:.2f}", f"{100 * value / total:.1f} %", f"{counts[name]:.0f}"])
    return f"\n{columns(rows)}\n\n{columns(most)}"


def _second(item: tuple[str, float]) -> float:
    return -item[1]


def kind_of(name: str) -> str:
    """The kind of an operation, by its name."""
    lower = name.lower()
    return next((kind for kind, words in KINDS.items() if any(word in lower for word in words)), "other")


if __name__ == "__main__":
    with told_in_one_line("profile_step.py"):
        main()
