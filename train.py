"""Train a CycleGAN between photos of young and old people.

    python train.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

Losses and images are reported on the console, in checkpoints/NAME/ (loss_log.txt, loss_log.csv, web/index.html), in
visdom, and optionally in TensorBoard and Weights & Biases. Ctrl-C or SIGTERM saves the run and stops; --continue_train
resumes it. `python train.py --help` lists all options.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from data import Loader, create_loader
from data.held_out import load_faces
from data.photo_lists import PhotoLists
from evaluation.fixed_faces import FixedFaces
from evaluation.held_out import Evaluation, open_evaluation
from models import BaseModel, create_model
from models.fast.threads import settle_threads
from models.guard import Guard
from models.warm_up import warm_up
from options import TrainOptions, parse_train_options
from util import distributed
from util.device import keep_freed_memory, seed_everything, select_device
from util.distributed import place
from util.errors import told_in_one_line
from util.run.interrupts import StopTogether
from util.run.progress import Progress
from util.run.resume import Beginning, restore_parts
from util.run.saving import Part, Saver, conclude, saved_if_broken
from util.sinks.console import ConsoleSink
from util.sinks.registry import ShownRun, create_visualizer
from util.visualizer import Visualizer


def train(
    guard: Guard, loader: Loader, visualizer: Visualizer, saver: Saver, stop: StopTogether, evaluation: Evaluation
) -> None:
    """Train from the position `saver.progress` to the end of the last epoch, or until a stop is requested."""
    model, progress, saving = guard.model, saver.progress, saver.saving
    for epoch in progress.epochs() if not stop else ():
        for batch in saved_if_broken(loader.epoch(epoch, start=progress.epoch_images), saver):
            images = len(batch["A"]) * place().processes
            progress.advance(images)
            step = guard.optimize(batch)  # model.optimize(batch), and checks for NaN
            visualizer.step(progress, images, *step, model.learning_rate, loader.seconds_waited)
            if stop.now():
                saver.save()
                return
            if progress.due(saving.save_latest_freq, images):
                saver.save(keep=[f"iter_{progress.total_images}"] if saving.save_by_iter else [])

        guard.check()
        model.end_epoch()
        visualizer.epoch_end(progress)
        keep = evaluation.after_epoch(model, epoch, partial(visualizer.measures, progress))
        if epoch % saving.save_epoch_freq == 0:
            keep.append(str(epoch))
        progress.end_epoch()
        saver.save(keep=keep)


def main() -> int:
    """Set up the run that the command line describes, train it, and return the exit status."""
    keep_freed_memory()
    options = distributed.from_main(parse_train_options)
    device = select_device(options.run.gpu_ids)
    seed_everything(options.run.seed + place().rank)
    console = ConsoleSink(None if place().is_main else open(os.devnull, "w"))  # noqa: SIM115  # open until the process ends
    say, folder, schedule, channels = console.say, options.folder, options.model.schedule, options.model.channels
    loader = open_loader(options, device, console)
    distributed.require_equal(len(loader), "the processes found different numbers of photos in --dataroot")
    seed, parts = options.run.seed + 2 * place().rank, options.loading.accumulate
    model = create_model(options.choice.model, options.model, device, training=True, seed=seed, parts=parts)
    progress = Progress(len(loader), schedule.last_epoch, schedule.first_epoch)
    with contextlib.ExitStack() as held, StopTogether() as stop:
        distributed.on_main(lambda: held.enter_context(folder.locked()))
        label, initial = options.checkpoint.label, options.initial
        beginning = Beginning(folder, options.saving, label, schedule.epoch_count, initial, options.changes)
        state = beginning.prepare(model, progress, say)
        if progress.is_over:
            say(f"nothing to train: {folder.path} {schedule.describe_end(progress.epoch - 1)}")
            return 0
        distributed.on_main(lambda: folder.write_options(options.values, options.table))
        threads = settle_threads(model, partial(loader.epoch, progress.epoch), state.get("threads"), say)
        describe(options, model, len(loader), say)
        with open_visualizer(options, model, progress, console) as visualizer:
            guard = Guard(options.guard, model, progress, options.display.print_freq, folder.describe_latest, say)
            evaluation = open_evaluation(options.held_out, options.data, channels, device, say)
            others: dict[str, Part] = {"display": visualizer, "guard": guard, "best": evaluation.best}
            others |= {"photos": PhotoLists(loader.dataset, say), "threads": threads}
            restore_parts(others, state)
            saved: dict[str, Part] = {"model": model, "progress": progress, **others}
            saver = Saver(folder, model.networks, saved, progress, options.saving, options.values, guard.check, say)
            if model.warm_up_done < model.warm_up_steps:
                warm_up(model, open_loader(options, device, console, model.warm_up_batch), saver, stop, say)
            train(guard, loader, visualizer, saver, stop, evaluation)
        status = conclude(saver, stop)
    distributed.barrier()  # when one process exits early, as after a stop, torchrun kills the others
    return status


def open_loader(options: TrainOptions, device: torch.device, console: ConsoleSink, batch_size: int = 0) -> Loader:
    """Open the training photos. batch_size: for the warm-up; 0 for --batch_size and --accumulate."""
    loading = replace(options.loading, batch_size=batch_size, accumulate=1) if batch_size else options.loading
    mode, channels, seed = options.choice.dataset_mode, options.model.channels, options.run.seed
    announce = (lambda line: None) if batch_size else console.say
    return create_loader(mode, options.data, loading, channels, seed, device, console.say_once, announce)


def describe(options: TrainOptions, model: BaseModel, images: int, say: Callable[[str], None]) -> None:
    """Print the options, the networks, and how they are trained."""
    data = f"{images} images per epoch, {options.loading.describe_batch(place().processes)}"
    for line in (options.table, *model.describe(layers=options.run.verbose, data=data)):
        say(line)


def open_visualizer(options: TrainOptions, model: BaseModel, progress: Progress, console: ConsoleSink) -> Visualizer:
    """Open all displays of the run. The HTML page shows held-out faces, or training faces if there are none."""
    phases = (options.held_out.eval_phase, options.data.phase)
    faces = FixedFaces(model, lambda: load_faces(options.data, phases, options.model.channels, console.say))
    described = (options.folder, options.display, options.values, options.table, options.changes)
    return create_visualizer(ShownRun(*described, progress, console, faces.translate), model.device)


if __name__ == "__main__":
    with distributed.started(), told_in_one_line("train.py", distributed.is_first_to_tell):
        sys.exit(main())
