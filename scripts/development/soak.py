"""Kill and resume trainings at random moments, and compare their results with those of an uninterrupted training.

    python scripts/development/soak.py --minutes 30

runs small trainings on drawn faces on the CPU. Each is killed (by SIGKILL, sometimes by SIGTERM, or only a loading
process is killed) and resumed until it is complete. Its losses and weights must then be those of the uninterrupted
training, bit for bit. The exit status is 1 if any differ.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch

NETWORKS = ("G_A", "G_B", "D_A", "D_B")
TRAINING = [
    *("--load_size", "36", "--crop_size", "32", "--ngf", "4", "--ndf", "4", "--netG", "resnet_1blocks", "--dropout"),
    *("--batch_size", "2", "--pool_size", "10", "--n_epochs", "2", "--n_epochs_decay", "2", "--gpu_ids", "-1"),
    *("--no_visdom", "--print_freq", "4", "--update_html_freq", "20", "--save_latest_freq", "8"),
    *("--save_epoch_freq", "1", "--name", "run"),
]
"""Four epochs of 20 steps; every second step is reported, every fourth saved."""


@dataclass
class Counts:
    """Numbers of kills, compared runs and differences so far."""

    kills: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGTERM": 0, "loading process": 0})
    runs: int = 0
    different: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {name}" for name, count in self.kills.items())
        return f"{sum(self.kills.values())} kills ({kills}), {self.runs} runs compared, {len(self.different)} different"


@dataclass(frozen=True)
class Training:
    """A run in its own folder."""

    faces: Path
    folder: Path

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def start(self, workers: int) -> subprocess.Popen[bytes]:
        """Start or resume the training; its output is appended to output.txt."""
        words = ["--dataroot", str(self.faces), "--checkpoints_dir", str(self.folder), *TRAINING]
        words += ["--num_threads", str(workers)]
        if (self.path / "latest_state.pth").exists() or any(self.path.glob("snapshots/0*")):
            words.append("--continue_train")
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *words],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def losses(self) -> list[list[str]]:
        """Position and losses of each report."""
        with (self.path / "loss_log.csv").open(newline="") as file:
            return [[value for name, value in row.items() if "seconds" not in name] for row in csv.DictReader(file)]

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of all networks, of each epoch and the latest."""
        return {
            f"{label}_{name}.{key}": value
            for label in ("1", "2", "3", "4", "latest")
            for name in NETWORKS
            for key, value in torch.load(self.path / f"{label}_net_{name}.pth", weights_only=True).items()
        }

    def difference(self, other: Training) -> str:
        """The first difference between two completed runs; empty if there is none."""
        if self.losses() != other.losses():
            return "losses"
        ours, theirs = self.weights(), other.weights()
        return next((name for name in theirs if not torch.equal(ours[name], theirs[name])), "")


def disturb(process: subprocess.Popen[bytes], how: str) -> bool:
    """Send a signal, or kill a loading process; returns False if there was nothing to kill."""
    if process.poll() is not None:
        return False
    if how != "loading process":
        process.send_signal(signal.Signals[how])
        return True
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    if workers:
        os.kill(int(random.choice(workers)), signal.SIGKILL)
    return bool(workers)


def run_disturbed(training: Training, seconds: float, chance: random.Random, counts: Counts) -> None:
    """Train to the end, with about three kills in the `seconds` that an uninterrupted training takes."""
    while True:
        process = training.start(chance.randrange(2))
        while process.poll() is None:
            time.sleep(chance.uniform(0.0, 2 * seconds / 3))
            how = chance.choices(list(counts.kills), weights=[6, 2, 2])[0]
            if disturb(process, how):
                counts.kills[how] += 1
                if how != "loading process":
                    break
        status = process.wait()
        if status == 0:
            return
        if status not in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM):
            raise SystemExit(f"a training failed, status {status}:\n{(training.folder / 'output.txt').read_text()}")


def soak(folder: Path, minutes: float, seed: int) -> Counts:
    """Kill and resume trainings for the given time."""
    faces, counts, chance = folder / "faces", Counts(), random.Random(seed)
    command = [sys.executable, str(ROOT / "scripts" / "make_demo_faces.py"), "--output", str(faces)]
    subprocess.run([*command, "--size", "72", "--train", "40", "--test", "1"], check=True, stdout=subprocess.DEVNULL)
    alone = Training(faces, folder / "alone")
    started = time.monotonic()
    if alone.start(0).wait() != 0:
        raise SystemExit(f"the uninterrupted training failed:\n{(alone.folder / 'output.txt').read_text()}")
    seconds = time.monotonic() - started
    print(f"uninterrupted: {seconds:.0f} s", flush=True)
    while time.monotonic() - started < 60 * minutes:
        training = Training(faces, folder / f"disturbed_{counts.runs + 1}")
        run_disturbed(training, seconds, chance, counts)
        counts.runs += 1
        if difference := training.difference(alone):
            counts.different.append(f"{training.folder}: {difference}")
        else:
            shutil.rmtree(training.folder)
        print(f"{(time.monotonic() - started) / 60:.1f} min: {counts}", flush=True)
    return counts


def main() -> int:
    """Parse the command line, run the soak test, and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="duration in minutes (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the kills (default: 0)")
    settings = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak_"))
    counts = soak(folder, settings.minutes, settings.seed)
    print(*(f"different: {line}" for line in counts.different), counts, sep="\n")
    if not counts.different:
        shutil.rmtree(folder)
    return 1 if counts.different else 0


if __name__ == "__main__":
    sys.exit(main())
