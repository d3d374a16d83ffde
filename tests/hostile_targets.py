"""What hostile input is given to, in the child process of jail.py: the parts of the commands that read it.

A target gets an empty folder and the input. It may end, or raise what `told_in_one_line` tells.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
import torch
from hostile_corpus import PHOTOS
from processes import ROOT, TINY

from data import Loader, LoaderOptions
from data.single_dataset import SingleDataset
from data.transforms import TransformOptions
from models import create_model
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from options import parse_test_options, parse_train_options
from scripts import plot_losses, unzip_datasets
from scripts.preparation import workspace
from scripts.preparation.errors import SourceError
from scripts.preparation.matlab import read_struct, texts
from scripts.preparation.photo import PhotoTask, PhotoWork, prepare_photo
from scripts.preparation.pipeline import prepare
from scripts.preparation.settings import Settings
from util.arguments import build
from util.curves import Curve, draw_curves
from util.run.progress import Progress
from util.run.resume import Beginning
from util.run.run_folder import RunFolder
from util.sinks.console import ConsoleSink
from util.sinks.html import HtmlSink
from util.sinks.loss_log import CsvSink

torch.set_num_threads(1)
TINY_TEST = ["--num_threads", "0", "--gpu_ids", "-1"]


def photo(folder: Path, content: bytes, suffix: str, preprocess: str) -> None:
    """A file that says that it is a photo: for training, and for preparation."""
    path = folder / f"photo{suffix}"
    path.write_bytes(content)
    transform = TransformOptions(preprocess, 36, 32)
    loader = Loader(SingleDataset(folder, "A", transform, 3, None), LoaderOptions(1, 0))
    for batch in loader.epoch():
        assert torch.isfinite(batch["A"]).all() and batch["A"].abs().max() <= 1
    for mode in ("crop", "copy"):
        work = PhotoWork(mode, 32, "jpg", 90, min_size=16, min_colour=0)
        outcome = prepare_photo(work, PhotoTask(0, content if mode == "crop" else path, folder / f"made{suffix}"))
        print(outcome.reason, workspace.one_line(outcome.detail))


def collection(folder: Path, source: str, files: dict[str, bytes]) -> None:
    """A whole preparation of a collection in a folder."""
    for name, content in files.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(content)
    for number, photo in enumerate(PHOTOS.values()):
        (folder / "in" / f"{number}.jpg").write_bytes(photo)
    _prepare(source, folder / "in", folder / "out")


def _prepare(source: str, collection: Path, output: Path) -> None:
    words = {"input": collection, "output": output, "processes": 1, "size": 32, "min_size": 16, "min_colour": 0.0}
    prepare(source, build(Settings, words))


def archive(folder: Path, name: str, content: bytes) -> None:
    """An archive, unpacked as prepared photos."""
    path = folder / name
    path.write_bytes(content)
    with mock.patch.object(sys, "argv", ["unzip_datasets.sh", str(path), "--output", str(folder / "out")]):
        unzip_datasets.main()


def archived_collection(folder: Path, source: str, name: str, content: bytes) -> None:
    """An archive, prepared as a collection."""
    path = folder / name
    path.write_bytes(content)
    _prepare(source, path, folder / "out")


def network_file(folder: Path, content: bytes) -> None:
    """A checkpoint of a network."""
    run = RunFolder(folder, "run")
    run.path.mkdir()
    run.network_path("latest", "G_A").write_bytes(content)
    network = create_generator(NetworkOptions(), GeneratorOptions("resnet_1blocks", 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        run.load_networks("latest", {"G_A": network})
    except BaseException:
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items()), "half loaded"
        raise


def training_state(folder: Path, content: bytes) -> None:
    """A run that goes on from a damaged training state."""
    shutil.copytree(_trained_run(), folder / "checkpoints")
    run = folder / "checkpoints" / "experiment_name"
    (run / "latest_state.pth").write_bytes(content)
    words = ["--dataroot", "nowhere", "--checkpoints_dir", str(run.parent), "--continue_train", *TINY_TEST]
    options = parse_train_options(words)
    model = create_model("cycle_gan", options.model, torch.device("cpu"), training=True, seed=0)
    progress = Progress(4, options.model.schedule.last_epoch)
    beginning = Beginning(options.folder, options.saving, "latest", None, None, ())
    beginning.restore(model, progress, ConsoleSink().say)


def options(folder: Path, command: str, words: Sequence[str], saved: bytes | None) -> None:
    """A command line, and the options that a run saved."""
    run = folder / "checkpoints" / "experiment_name"
    run.mkdir(parents=True)
    if saved is not None:
        (run / "opt.json").write_bytes(saved)
    parse = {"train": parse_train_options, "test": parse_test_options}[command]
    words = ["--checkpoints_dir", str(folder / "checkpoints"), "--dataroot", "faces", *words]
    parsed = parse(words)
    parsed.folder.write_options(parsed.values, parsed.table)
    ConsoleSink().say(parsed.table)
    HtmlSink(folder, f"{parsed.run.name}: training", options=parsed.values)._write(0)


def logs(folder: Path, table: bytes, text: bytes) -> None:
    """The logs of a run: as a run goes on, and drawn."""
    for name in ("csv", "txt"):
        (folder / name).mkdir()
        (folder / name / f"loss_log.{name}").write_bytes(table if name == "csv" else text)
        words = ["plot_losses.py", str(folder / name), "--output", str(folder / f"{name}.svg")]
        with mock.patch.object(sys, "argv", words):
            plot_losses.main()
    CsvSink(folder / "csv", Progress(100, 4, total_images=10**6))


def begun_preparation(folder: Path, journal: bytes, record: bytes, settings: bytes) -> None:
    """What an interrupted preparation left, damaged."""
    work = folder / ".preparing"
    work.mkdir()
    (work / "journal.csv").write_bytes(journal)
    outcomes = workspace.Outcomes(work / "journal.csv", 5)
    outcomes.close()
    (folder / "dataset.json").write_bytes(record)
    (work / "settings.json").write_bytes(settings)
    with workspace.opened(folder) as opened:
        workspace.start(opened, {"size": 1}, overwrite=False)


def named_photos(folder: Path, photos: dict[bytes, bytes], name: str) -> None:
    """A test of photos that are called so."""
    shutil.copytree(_trained_run(), folder / "checkpoints")
    (folder / "checkpoints" / "experiment_name").rename(folder / "checkpoints" / name)
    for path, content in photos.items():
        target = Path(str(folder / "photos") + "/" + path.decode("utf-8", "surrogateescape"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    words = [
        *"--model test --model_suffix _A".split(),
        "--dataroot",
        str(folder / "photos"),
        "--name",
        name,
        "--checkpoints_dir",
        str(folder / "checkpoints"),
        "--results_dir",
        str(folder / "results"),
        *"--preprocess resize --load_size 32 --crop_size 32".split(),
    ]
    with mock.patch.object(sys, "argv", ["test.py", *words, *TINY_TEST]):
        _test_script().main()


def trained_run(checkpoints: Path) -> Path:
    """A run of one step; returns its folder."""
    words = ["--dataroot", "faces", "--checkpoints_dir", str(checkpoints), "--pool_size", "2", *TINY.split()]
    options = parse_train_options(words)
    model = create_model("cycle_gan", options.model, torch.device("cpu"), training=True, seed=0)
    model.optimize({"A": torch.zeros(1, 3, 32, 32), "B": torch.zeros(1, 3, 32, 32)})
    options.folder.save(model.networks, {"model": model.state_dict(), "progress": Progress(4, 2).state_dict()})
    shutil.rmtree(options.folder.snapshots)  # what is to be damaged is read as it lies, not passed over
    options.folder.write_options(options.values, options.table)
    return options.folder.path


_cache: dict[str, Path] = {}


def _trained_run() -> Path:
    """A checkpoints folder with a run in it, made once."""
    if "run" not in _cache:
        checkpoints = Path(tempfile.mkdtemp(prefix="hostile", dir=_home))
        trained_run(checkpoints)
        _cache["run"] = checkpoints
    return _cache["run"]


_home: Path | None = None


def make_ready(home: Path) -> None:
    """Do once, before anything is watched, what all cases share."""
    global _home
    _home = home
    _trained_run()
    with pytest.raises(SourceError):
        read_struct(b"", "wiki", "wiki.mat", {"full_path": texts})  # starts the server of processes
    draw_curves(
        home / "fonts.svg", {"": [Curve("", np.zeros(1), np.zeros(1))]}
    )  # the first drawing looks for the fonts there are


def _test_script() -> ModuleType:
    """test.py, whose name is that of a package of Python's own."""
    if "test_script" not in sys.modules:
        spec = importlib.util.spec_from_file_location("test_script", ROOT / "test.py")
        assert spec is not None and spec.loader is not None
        sys.modules["test_script"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["test_script"])
    return sys.modules["test_script"]


TARGETS: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        photo,
        collection,
        archive,
        archived_collection,
        network_file,
        training_state,
        options,
        logs,
        begun_preparation,
        named_photos,
    )
}
