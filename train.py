"""Train a CycleGAN between photos of young and of old people.

    python train.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

Losses and images go to the console, to checkpoints/NAME/ (loss_log.txt, loss_log.csv, web/index.html), to visdom, and
if wanted to TensorBoard.
Ctrl-C or SIGTERM saves and stops; --continue_train goes on from there. `python train.py --help` lists all options.
Several GPUs: `torchrun --nproc_per_node N train.py ...` (docs/scaling.md). All processes do what stands here, unless a
line says that the main one does it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from data import Loader, create_loader
from models import BaseModel, create_model
from models.process_state import count_processes
from options import TrainOptions, parse_train_options
from util import distributed
from util.checkpoint import CheckpointError
from util.device import describe_device, keep_freed_memory, memory_in_use, seed_everything, select_device
from util.distributed import place
from util.errors import UserError, told_in_one_line
from util.interrupts import StopTogether
from util.progress import Progress
from util.run_folder import RunFolder
from util.sinks.base import Sink
from util.sinks.console import ConsoleSink
from util.sinks.html import HtmlSink
from util.sinks.loss_log import CsvSink, LossLogSink
from util.sinks.tensorboard import TensorBoardSink
from util.sinks.visdom import VisdomSink
from util.visualizer import Visualizer


def main() -> int:
    """Compose the run that the command line describes and train it; returns the exit status."""
    keep_freed_memory()
    options = distributed.from_main(parse_train_options)
    device = select_device(options.run.gpu_ids)
    seed_everything(options.run.seed + place().rank)
    console = ConsoleSink(None if place().is_main else open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
    channels = {"A": options.model.network.input_nc, "B": options.model.network.output_nc}
    loader = create_loader(options.choice.dataset_mode, options.data, options.loading, channels, options.run.seed,
                           pin_memory=device.type == "cuda", report=lambda line: say_once(line, console))  # fmt: skip
    distributed.require_equal(len(loader), "the processes find different numbers of photos in --dataroot")
    model = create_model(options.choice.model, options.model, device, training=True,
                         seed=options.run.seed + 2 * place().rank, parts=options.loading.accumulate)  # fmt: skip
    progress = Progress(len(loader), options.model.schedule.last_epoch, options.model.schedule.epoch_count)
    prepare_folder(options, model, progress, console)
    console.say(options.table)
    describe_networks(model, console, verbose=options.run.verbose)
    console.say(f"training on {describe_device(device)} in {model.speed.precision}, {len(loader)} images an epoch, "
                f"{options.loading.describe_batch(place().processes)}")  # fmt: skip
    console.say(f"speed: {model.speed.describe()}")
    with StopTogether() as stop, create_visualizer(options, device, progress, console) as visualizer:
        train(options, model, loader, progress, visualizer, stop)
    if stop:
        console.say(f"stopped and saved at epoch {progress.epoch}, image {progress.epoch_images}: "
                    "--continue_train goes on from there")  # fmt: skip
    else:
        console.say(f"trained to epoch {progress.last_epoch}: {options.folder.path}")
    distributed.barrier()  # torchrun ends all others when one ends early, as a stopped one does
    return stop.exit_status


def train(
    options: TrainOptions,
    model: BaseModel,
    loader: Loader,
    progress: Progress,
    visualizer: Visualizer,
    stop: StopTogether,
) -> None:
    """The training loop: from where `progress` stands to the last epoch, or to a request to stop."""
    saving, folder = options.saving, options.folder
    for epoch in progress.epochs():
        for batch in loader.epoch(epoch, start=progress.epoch_images):
            step = model.optimize(batch)
            images = len(batch["A"]) * place().processes
            progress.advance(images)
            visualizer.step(progress, images, step.losses, step.images,
                            learning_rate=model.learning_rate, seconds_waited=loader.seconds_waited)  # fmt: skip
            if stop.now():
                save(folder, "latest", model, progress)
                return
            if progress.due(saving.save_latest_freq, images):
                save(folder, "latest", model, progress)
                if saving.save_by_iter:
                    keep(folder, f"iter_{progress.total_images}", model)

        model.end_epoch()
        visualizer.epoch_end(progress)
        progress.end_epoch()
        save(folder, "latest", model, progress)
        if epoch % saving.save_epoch_freq == 0:
            keep(folder, str(epoch), model)


def save(folder: RunFolder, label: str, model: BaseModel, progress: Progress) -> None:
    """Save all that going on with the run needs."""
    state = {"model": model.state_dict(), "progress": progress.state_dict()}
    if place().is_main:
        folder.save(label, model.networks, state)


def keep(folder: RunFolder, label: str, model: BaseModel) -> None:
    """Save the networks for good."""
    if place().is_main:
        folder.save(label, model.networks)


def say_once(line: str, console: ConsoleSink) -> None:
    """Print what any one of the processes has to say, if none has said it before."""
    if distributed.is_first_to_tell(line):
        (console if place().is_main else ConsoleSink()).say(line)


def prepare_folder(options: TrainOptions, model: BaseModel, progress: Progress, console: ConsoleSink) -> None:
    """Load the run that is to be continued, or make sure that none is overwritten; then save the options."""
    folder, label = options.folder, options.checkpoint.label
    if distributed.from_main(lambda: make_way(options, console)):
        restore(folder, label, model, progress, console)
    distributed.share_weights(model.networks.values())
    distributed.on_main(lambda: folder.write_options(options.values, options.table))


def make_way(options: TrainOptions, console: ConsoleSink) -> bool:
    """Whether there is a run to continue; where a new one begins, make sure that it overwrites none."""
    folder, saving = options.folder, options.saving
    if saving.continue_train:
        if folder.has_checkpoint or not distributed.under_torchrun():
            return True
        # torchrun runs the same command again when a process failed: it must do for the first time, too.
        console.say(f"{folder.path} holds nothing to continue yet: a new run begins")
    elif saving.overwrite:
        if distributed.restarts():
            raise UserError("started again by torchrun, and --overwrite would delete what was trained: give "
                            "--continue_train in its place, which begins a new run where there is none")  # fmt: skip
        folder.clear()
    else:
        folder.refuse_collision()
    return False


def restore(folder: RunFolder, label: str, model: BaseModel, progress: Progress, console: ConsoleSink) -> None:
    """Fill model and progress from the checkpoint `label`; the training state exists for `latest` alone."""
    distributed.on_main(lambda: folder.load_networks(label, model.networks))
    state: dict[str, Any] | None = distributed.on_main(lambda: folder.load_state() if label == "latest" else None)
    if distributed.from_main(lambda: state is not None):
        try:
            model.load_state_dict(state["model"] if state else None)
            progress.load_state_dict(distributed.from_main(lambda: state["progress"] if state else {}))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder.state_path} does not fit this model: {error!r}; move it away to go on from "
                                  "the networks alone") from error  # fmt: skip
        console.say(f"continuing {folder.path} at epoch {progress.epoch}, image {progress.epoch_images}")
        if state and (before := count_processes(state["model"])) != place().processes:
            console.say(f"note: processes before {before}, now {place().processes}: image pools are used as far as "
                        "they fit")  # fmt: skip
        return
    if label.isdigit() and progress.epoch == 1:
        progress.epoch = int(label) + 1
    console.say(f"continuing the networks of {folder.path} ({label}) at epoch {progress.epoch}, with fresh optimizers")


def describe_networks(model: BaseModel, console: ConsoleSink, *, verbose: bool) -> None:
    """Print each network's number of parameters, and its layers if verbose."""
    for name, network in model.networks.items():
        if verbose:
            console.say(str(network))
        count = sum(parameter.numel() for parameter in network.parameters())
        console.say(f"[Network {name}] {count / 1e6:.3f} M parameters")


def create_visualizer(
    options: TrainOptions, device: torch.device, progress: Progress, console: ConsoleSink
) -> Visualizer:
    """All sinks that the options ask for; those that keep a history go on from where `progress` stands."""
    display, path, name = options.display, options.folder.path, options.run.name
    if not place().is_main:
        return Visualizer(display, [], {}, average=distributed.average)
    log = CsvSink(path, progress.total_images)
    sinks: list[Sink] = [console, LossLogSink(path), log]
    image_frequencies: dict[Sink, int] = {}
    if not display.no_html:
        page = HtmlSink(path, f"{name}: training", display.display_winsize, options.values, log.history)
        sinks.append(page)
        image_frequencies[page] = display.update_html_freq
    if not display.no_visdom:
        dashboard = VisdomSink(display.display_server, display.display_port, display.display_env, display.display_ncols,
                               name, options.table, log.history)  # fmt: skip
        sinks.append(dashboard)
        image_frequencies[dashboard] = display.display_freq
    if display.tensorboard:
        board = TensorBoardSink(path, options.table, progress.total_images)
        sinks.append(board)
        image_frequencies[board] = display.display_freq
    return Visualizer(display, sinks, image_frequencies, memory=lambda: memory_in_use(device),
                      average=distributed.average)  # fmt: skip


if __name__ == "__main__":
    with distributed.started(), told_in_one_line("train.py", distributed.is_first_to_tell):
        sys.exit(main())
