"""The benchmarks: fair turns, gains that stand out of the noise, numbers that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from processes import run
from small_runs import make_run
from torch.utils.flop_counter import FlopCounterMode

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from scripts.development.benchmarking.rounds import columns, in_rotation, median, quantile, ratios, verdict
from scripts.development.benchmarking.train import GFLOP_OF_A_PAIR, PLAIN
from scripts.development.profile_step import kind_of
from util.arguments import build

CPU = torch.device("cpu")
SMALL = "--crop_size 32 --netG resnet_1blocks --rounds 3 --gpu_ids -1"


def test_every_way_has_its_turn_and_each_round_begins_with_another() -> None:
    turns: list[str] = []
    ways = {name: lambda name=name: turns.append(name) for name in "abc"}
    seconds = in_rotation(ways, CPU, rounds=3, repeats=2)
    assert "".join(turns) == "aabbcc" + "bbccaa" + "ccaabb"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_gain_within_the_noise_is_called_unresolved() -> None:
    noise = ratios([10.0, 11.0, 10.0], [10.0, 10.0, 11.0])
    assert verdict(ratios([10.0, 11.0, 10.0], [9.8, 10.4, 9.7]), noise) == "unresolved"
    assert verdict(ratios([10.0, 11.0, 10.0], [5.0, 5.0, 5.0]), noise) == "2.00"
    assert verdict(ratios([10.0, 10.0, 10.0], [20.0, 20.0, 20.0]), noise) == "0.50"


def test_middles_and_shares() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0 and median([4.0, 1.0]) == 2.5
    values = [float(n) for n in range(101)]
    assert quantile(values, 0.95) == 95.0 and quantile([7.0], 0.5) == 7.0
    assert columns([["a", "b"], ["1", "22"]]) == "| a | b  |\n|---|----|\n| 1 | 22 |"


@pytest.mark.slow
def test_the_fixed_work_of_a_pair_is_what_torch_counts() -> None:
    """At a quarter of the side, where it fits a test: a sixteenth, but for the borders of the discriminators."""
    model = CycleGANModel(build(CycleGANOptions, PLAIN), CPU, training=True)
    batch = {name: torch.rand(1, 3, 64, 64) * 2 - 1 for name in "AB"}
    with FlopCounterMode(display=False) as counter:
        model.optimize(batch)
    assert counter.get_total_flops() / 1e9 * 16 == pytest.approx(GFLOP_OF_A_PAIR, rel=0.02)


@pytest.mark.slow
def test_training_is_measured_against_the_plain_way(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    words = [*SMALL.split(), "--ngf", "4", "--ndf", "4", "--leave_one_out", "--autocast", "--steps", "2"]
    printed = run("scripts/benchmark.py", "train", *words, "--json", path)
    result = json.loads(path.read_text())
    ways = result["ways"]
    assert {"plain", "plain again", "fast", "without kernels", "without adam", "without 16 bits"} <= set(ways)
    assert result["command"].startswith("python scripts/benchmark.py train --crop_size 32")
    for name, way in ways.items():
        assert way["seconds_of_a_step"] == pytest.approx(median(way["seconds"]) / 2)
        assert way["pairs_per_second"] == pytest.approx(1 / way["seconds_of_a_step"])
        assert way["ratio"]["low"] <= way["ratio"]["median"] <= way["ratio"]["high"]
        assert all(cosine > 0.8 for cosine in way["cosine"].values()), name
        assert f"| {name}" in printed
    assert all(cosine == pytest.approx(1.0, abs=1e-6) for cosine in ways["plain again"]["cosine"].values())
    assert ways["plain"]["speed"] == "float32, channels first"
    assert "identity pass" in ways["fast"]["speed"] and "fused Adam" not in ways["without adam"]["speed"]


@pytest.mark.slow
def test_photos_are_loaded_where_a_folder_is_named(demo_faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    words = [*SMALL.split(), "--ngf", "4", "--ndf", "4", "--num_threads", "0"]
    run("scripts/benchmark.py", "train", *words, "--dataroot", demo_faces, "--json", path)
    ways = json.loads(path.read_text())["ways"]
    assert all(0 < way["wait_share"] < 1 for way in ways.values())


@pytest.mark.slow
def test_translation_is_measured_and_its_difference_told(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    printed = run("scripts/benchmark.py", "infer", *SMALL.split(), "--photos", "4", "--batch_size", "2", "--json", path)
    ways = json.loads(path.read_text())["ways"]
    assert ways["batched"]["mean_difference_of_255"] < 0.01 and ways["custom kernels"]["mean_difference_of_255"] < 0.01
    assert all(way["photos_per_second"] > 0 for way in ways.values()) and "photos/s" in printed


@pytest.mark.slow
def test_loading_is_measured(demo_faces: Path, tmp_path: Path) -> None:
    words = "--photos 8 --load_size 36 --crop_size 32 --rounds 2 --gpu_ids -1"
    path = tmp_path / "result.json"
    run("scripts/benchmark.py", "data", "--dataroot", demo_faces, *words.split(), "--json", path)
    ways = json.loads(path.read_text())["ways"]
    assert {"none", "ram", "device"} <= set(ways) and ways["ram"]["bytes"] == 16 * 36 * 36 * 3


@pytest.mark.slow
def test_a_step_is_profiled_by_kinds_of_work(tmp_path: Path) -> None:
    trace = tmp_path / "step.json"
    words = "--crop_size 32 --netG resnet_1blocks --ngf 4 --ndf 4 --steps 1 --precision float32 --gpu_ids -1"
    printed = run("scripts/development/profile_step.py", *words.split(), "--trace", trace)
    shares = [
        float(line.split("|")[3].strip(" %")) for line in printed.splitlines() if line.startswith("| convolutions")
    ]
    assert len(shares) == 1 and 1 < shares[0] < 99
    assert "_NormActPad" in printed and json.loads(trace.read_text())["traceEvents"]
    assert kind_of("aten::convolution_backward") == "convolutions" and kind_of("aten::copy_") == "copies and casts"
    assert kind_of("_NormActPadBackward").startswith("normalisation") and kind_of("sm90_xmma_wgrad") == "convolutions"


@pytest.mark.slow
def test_a_photo_is_measured_from_the_command_line_on(tmp_path: Path) -> None:
    make_run(tmp_path, "small", ngf=8, residual=True)
    run("export.py", "--name", "small", "--checkpoints_dir", tmp_path)
    path = tmp_path / "result.json"
    printed = run(
        "scripts/benchmark.py",
        "photo",
        "--name",
        "small",
        "--checkpoints_dir",
        tmp_path,
        "--rounds",
        "1",
        "--json",
        path,
        seconds=600,
    )
    result = json.loads(path.read_text())
    commands = result["commands"]
    assert all(way["processor_seconds"] > 0 for way in commands.values())
    assert (
        commands["1 photo of 1 megapixel"]["processor_seconds"]
        < commands["1 photo of 1 megapixel, PyTorch"]["processor_seconds"]
    )
    assert result["ways"]["onnxruntime, float32"]["mean_difference_of_255"] < 0.01
    assert "detect the face" in printed and "onnxruntime, float32" in printed
