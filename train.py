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
from dataclasses import replace
from functools import partial

import torch

from data import Loader, create_loader
from data.held_out import load_faces
from data.photo_lists import PhotoLists
from evaluation.fixed_faces import FixedFaces
from evaluation.held_out import Evaluation, open_evaluation
from models import create_model
from models.fast.threads import Threads, settle_threads
from models.guard import Guard
from models.warm_up import warm_up
from options import TrainOptions, parse_train_options
from util import distributed
from util.device import keep_freed_memory, memory_in_use, seed_everything, select_device
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
    options: TrainOptions,
    guard: Guard,
    loader: Loader,
    progress: Progress,
    visualizer: Visualizer,
    saver: Saver,
    stop: StopTogether,
    threads: Threads,
    evaluation: Evaluation,
) -> None:
    """Train from the position `progress` to the end of the last epoch, or until a stop is requested."""
    saving, model = options.saving, guard.model
    for epoch in progress.epochs() if not stop else ():
        for batch in saved_if_broken(loader.epoch(epoch, start=progress.epoch_images), saver):
            images = len(batch["A"]) * place().processes
            progress.advance(images)
            with threads.watched():
                step = guard.optimize(batch)  # model.optimize(batch), and checks for NaN
            visualizer.step(
                progress,
                images,
                step.losses,
                step.images,
                learning_rate=model.learning_rate,
                seconds_waited=loader.seconds_waited,
            )
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
    loader = open_loader(options, device, console)
    distributed.require_equal(len(loader), "the processes found different numbers of photos in --dataroot")
    seed, parts = options.run.seed + 2 * place().rank, options.loading.accumulate
    model = create_model(options.choice.model, options.model, device, training=True, seed=seed, parts=parts)
    schedule = options.model.schedule
    progress = Progress(len(loader), schedule.last_epoch, schedule.first_epoch)
    with contextlib.ExitStack() as held, StopTogether() as stop:
        distributed.on_main(lambda: held.enter_context(options.folder.locked()))
        label, changes = options.checkpoint.label, options.changes
        beginning = Beginning(options.folder, options.saving, label, schedule.epoch_count, options.initial, changes)
        state = beginning.prepare(model, progress, console.say)
        if progress.is_over:
            console.say(f"nothing to train: {options.folder.path} {schedule.describe_end(progress.epoch - 1)}")
            return 0
        distributed.on_main(lambda: options.folder.write_options(options.values, options.table))
        threads = settle_threads(model, partial(loader.epoch, progress.epoch), state.get("threads"), console.say)
        console.say(options.table)
        data = f"{len(loader)} images per epoch, {options.loading.describe_batch(place().processes)}"
        for line in model.describe(layers=options.run.verbose, data=data):
            console.say(line)
        phases, channels = (options.held_out.eval_phase, options.data.phase), options.model.channels
        faces = FixedFaces(model, lambda: load_faces(options.data, phases, channels, console.say))
        described = (options.folder, options.display, options.values, options.table, options.changes)
        shown = ShownRun(*described, progress, console, faces.translate)
        with create_visualizer(shown, lambda: memory_in_use(device)) as visualizer:
            every, latest = options.display.print_freq, options.folder.describe_latest
            guard = Guard(options.guard, model, progress, every=every, latest=latest, say=console.say)
            evaluation = open_evaluation(options.held_out, options.data, channels, device, console.say)
            others: dict[str, Part] = {
                "display": visualizer,
                "guard": guard,
                "photos": PhotoLists(loader.dataset, console.say),
                "best": evaluation.best,
                "threads": threads,
            }
            restore_parts(others, state)
            saver = Saver(
                options.folder,
                model.networks,
                {"model": model, "progress": progress, **others},
                progress,
                keep_last=options.saving.keep_last,
                options=options.values,
                check=guard.check,
                say=console.say,
            )
            if model.warm_up_done < model.warm_up_steps:
                warm_up(model, open_loader(options, device, console, model.warm_up_batch), saver, stop, console.say)
            train(options, guard, loader, progress, visualizer, saver, stop, threads, evaluation)
        status = conclude(saver, stop)
    distributed.barrier()  # when one process exits early, as after a stop, torchrun kills the others
    return status


def open_loader(options: TrainOptions, device: torch.device, console: ConsoleSink, batch_size: int = 0) -> Loader:
    """Open the training photos. batch_size: for the warm-up; 0 for --batch_size and --accumulate."""
    loading = replace(options.loading, batch_size=batch_size, accumulate=1) if batch_size else options.loading
    return create_loader(
        options.choice.dataset_mode,
        options.data,
        loading,
        options.model.channels,
        options.run.seed,
        device=device,
        report=console.say_once,
        announce=(lambda line: None) if batch_size else console.say,
    )


if __name__ == "__main__":
    with distributed.started(), told_in_one_line("train.py", distributed.is_first_to_tell):
        sys.exit(main())
