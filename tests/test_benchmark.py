"""The benchmarks: each of them runs, and no gain within the noise is called one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import run
from small_runs import make_run

from scripts.development.benchmarking.rounds import ratios, verdict

SMALL = "--crop_size 32 --netG resnet_1blocks --rounds 3 --gpu_ids -1"


def test_a_gain_within_the_noise_is_called_unresolved() -> None:
    noise = ratios([10.0, 11.0, 10.0], [10.0, 10.0, 11.0])
    assert verdict(ratios([10.0, 11.0, 10.0], [9.8, 10.4, 9.7]), noise) == "unresolved"
    assert verdict(ratios([10.0, 11.0, 10.0], [5.0, 5.0, 5.0]), noise) == "2.00"
    assert verdict(ratios([10.0, 10.0, 10.0], [20.0, 20.0, 20.0]), noise) == "0.50"


@pytest.mark.slow
def test_training_is_measured_against_the_plain_way(demo_faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    words = [*SMALL.split(), "--ngf", "4", "--ndf", "4", "--leave_one_out", "--autocast", "--steps", "2"]
    run("scripts/benchmark.py", "train", *words, "--dataroot", demo_faces, "--num_threads", "0", "--json", path)
    ways = json.loads(path.read_text())["ways"]
    assert {"plain", "plain again", "fast", "without kernels", "without adam", "without 16 bits"} <= set(ways)
    for name, way in ways.items():
        assert way["ratio"]["low"] <= way["ratio"]["median"] <= way["ratio"]["high"] and 0 < way["wait_share"] < 1
        assert all(cosine > 0.8 for cosine in way["cosine"].values()), name
    assert all(cosine == pytest.approx(1.0, abs=1e-6) for cosine in ways["plain again"]["cosine"].values())


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
def test_a_photo_is_measured_from_the_command_line_on(tmp_path: Path) -> None:
    make_run(tmp_path, "small", ngf=8, residual=True)
    run("export.py", "--name", "small", "--checkpoints_dir", tmp_path)
    path = tmp_path / "result.json"
    words = ["--name", "small", "--checkpoints_dir", tmp_path, "--rounds", "1", "--json", path]
    run("scripts/benchmark.py", "photo", *words, seconds=600)
    result = json.loads(path.read_text())
    assert all(way["processor_seconds"] > 0 for way in result["commands"].values())
    assert result["ways"]["onnxruntime, float32"]["mean_difference_of_255"] < 0.01
