"""Train a CycleGAN between photos of young and of old people.

    python train.py --dataroot ./datasets/young2old --name aging_cyclegan --model cycle_gan

Losses and images go to the console, to checkpoints/NAME/ (loss_log.txt, loss_log.csv, web/index.html), to visdom, and
if wanted to TensorBoard.
Ctrl-C or SIGTERM saves and stops; --continue_train goes on from there. `python train.py --help` lists all options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from data import Batch, Loader, create_loader
from data.held_out import load_held_out
from data.image_folder import DataError
from data.manifest import is_aligned
from data.photo_lists import PhotoLists
from evaluation.fixed_faces import FixedFaces
from evaluation.held_out import Best, HeldOut
from models import BaseModel, create_model
from models.guard import Guard
from models.process_state import count_processes
from options import TrainOptions, parse_train_options
from util import distributed
from util.arguments import OptionError
from util.device import describe_device, keep_freed_memory, memory_in_use, seed_everything, select_device
from util.distributed import place
from util.errors import UserError, told_in_one_line
from util.run.checkpoint import CheckpointError
from util.run.interrupts import StopTogether
from util.run.progress import Progress
from util.run.run_folder import BEST, LATEST, RunFolder
from util.run.saving import Part, Saver
from util.sinks.base import Sink
from util.sinks.console import ConsoleSink
from util.sinks.html import HtmlSink
from util.sinks.loss_log import CsvSink, LossLogSink, MeasureCsvSink, last_restart
from util.sinks.tensorboard import TensorBoardSink
from util.sinks.visdom import VisdomSink
from util.sinks.wandb import WandbSink
from util.visualizer import Visualizer

WARM_UP_REPORT_STEPS = 50
FACES_SHOWN = 4
"""Of each domain, on the page."""


def main() -> int:
    """Compose the run that the command line describes and train it; returns the exit status."""
    keep_freed_memory()
    options = distributed.from_main(parse_train_options)
    device = select_device(options.run.gpu_ids)
    seed_everything(options.run.seed + place().rank)
    console = ConsoleSink(None if place().is_main else open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
    channels = options.model.channels
    loader = create_loader(options.choice.dataset_mode, options.data, options.loading, channels, options.run.seed,
                           device=device, pin_memory=device.type == "cuda",
                           report=lambda line: say_once(line, console), announce=console.say)  # fmt: skip
    distributed.require_equal(len(loader), "the processes find different numbers of photos in --dataroot")
    model = create_model(options.choice.model, options.model, device, training=True,
                         seed=options.run.seed + 2 * place().rank, parts=options.loading.accumulate)  # fmt: skip
    progress = Progress(len(loader), options.model.schedule.last_epoch, options.model.schedule.first_epoch)
    with contextlib.ExitStack() as held, StopTogether() as stop:
        distributed.on_main(lambda: held.enter_context(options.folder.locked()))
        state = prepare_folder(options, model, progress, console)
        if progress.is_over:
            return tell_that_it_is_over(options, progress, console)
        distributed.on_main(lambda: options.folder.write_options(options.values, options.table))
        console.say(options.table)
        describe_networks(model, console, verbose=options.run.verbose)
        console.say(f"training on {describe_device(device)} in {model.speed.precision}, {len(loader)} images an epoch, "
                    f"{options.loading.describe_batch(place().processes)}")  # fmt: skip
        console.say(f"speed: {model.speed.describe()}")
        with create_visualizer(options, device, model, progress, console) as visualizer:
            guard = Guard(options.guard, model, progress, every=options.display.print_freq,
                          latest=options.folder.describe_latest, say=console.say)  # fmt: skip
            photos = PhotoLists(loader.dataset, console.say)
            held_out = distributed.on_main(lambda: create_held_out(options, device, channels, console))
            best = Best(held_out.name if held_out else "")
            others: dict[str, Part] = {"display": visualizer, "guard": guard, "photos": photos, "best": best}
            restore_parts(others, state)
            saver = Saver(options.folder, model.networks, {"model": model, "progress": progress, **others}, progress,
                          keep_last=options.saving.keep_last, options=options.values, check=guard.check,
                          say=console.say)  # fmt: skip
            measure = functools.partial(measure_held_out, options, held_out, best, model, progress, visualizer)
            warm_up(options, model, device, saver, stop, console)
            train(options, guard, loader, progress, visualizer, saver, stop, measure)
        status = conclude(options, progress, saver, stop, console)
    distributed.barrier()  # torchrun ends all others when one ends early, as a stopped one does
    return status


def train(
    options: TrainOptions,
    guard: Guard,
    loader: Loader,
    progress: Progress,
    visualizer: Visualizer,
    saver: Saver,
    stop: StopTogether,
    measure: Callable[[], list[str]],
) -> None:
    """The training loop: from where `progress` stands to the last epoch, or to a request to stop.

    measure: called after each epoch, returns labels to keep its networks by.
    """
    saving, model = options.saving, guard.model
    for epoch in progress.epochs() if not stop else ():
        for batch in saved_if_broken(loader.epoch(epoch, start=progress.epoch_images), saver):
            images = len(batch["A"]) * place().processes
            progress.advance(images)
            step = guard.optimize(batch)  # model.optimize(batch), and a look at whether all is finite
            visualizer.step(progress, images, step.losses, step.images,
                            learning_rate=model.learning_rate, seconds_waited=loader.seconds_waited)  # fmt: skip
            if stop.now():
                saver.save()
                return
            if progress.due(saving.save_latest_freq, images):
                saver.save(keep=[f"iter_{progress.total_images}"] if saving.save_by_iter else [])

        guard.check()
        model.end_epoch()
        visualizer.epoch_end(progress)
        keep = measure() + [str(epoch)] * (epoch % saving.save_epoch_freq == 0)
        progress.end_epoch()
        saver.save(keep=keep)


def warm_up(
    options: TrainOptions,
    model: BaseModel,
    device: torch.device,
    saver: Saver,
    stop: StopTogether,
    console: ConsoleSink,
) -> None:
    """The model's warm-up, from where it stands: discriminators learn from real photos before generators move."""
    if model.warm_up_done >= model.warm_up_steps:
        return
    loading = dataclasses.replace(options.loading, batch_size=model.warm_up_batch, accumulate=1)
    loader = create_loader(
        options.choice.dataset_mode,
        options.data,
        loading,
        options.model.channels,
        options.run.seed,
        device=device,
        pin_memory=device.type == "cuda",
        report=lambda line: say_once(line, console),
        announce=lambda line: None,
    )
    steps_per_epoch = -(-len(loader) // (model.warm_up_batch * place().processes))
    while model.warm_up_done < model.warm_up_steps:
        epoch, steps = divmod(model.warm_up_done, steps_per_epoch)
        for batch in saved_if_broken(loader.epoch(epoch + 1, steps * model.warm_up_batch * place().processes), saver):
            is_due = model.warm_up_done % WARM_UP_REPORT_STEPS == 0 or model.warm_up_done + 1 == model.warm_up_steps
            shares = model.told_apart(batch) if is_due else {}  # before the step: these photos are new to it
            losses = model.warm_up(batch).losses
            if is_due:
                values = [f"{name} {float(loss):.3f}" for name, loss in losses.items()]
                values += [f"{name} tells {100 * share:.0f} % of photos apart" for name, share in shares.items()]
                step = f"step {model.warm_up_done} of {model.warm_up_steps}"
                console.say(f"warm-up of the discriminators, {step}: {', '.join(values)}")
            if stop.now() or model.warm_up_done == model.warm_up_steps:
                break
        if stop:
            break
    saver.save()


def saved_if_broken(batches: Iterator[Batch], saver: Saver) -> Iterator[Batch]:
    """The batches; where there can be no more of them, the run is saved before the error goes on. (Not where others
    train on: all must save together.)"""
    try:
        yield from batches
    except UserError:
        if place().processes == 1:
            saver.save()
        raise


def say_once(line: str, console: ConsoleSink) -> None:
    """Print what any one of the processes has to say, if none has said it before."""
    if distributed.is_first_to_tell(line):
        (console if place().is_main else ConsoleSink()).say(line)


def conclude(options: TrainOptions, progress: Progress, saver: Saver, stop: StopTogether, console: ConsoleSink) -> int:
    """Say how the run ended; returns the exit status, which is not 0 where the end could not be saved."""
    end = f"epoch {progress.epoch}, image {progress.epoch_images}"
    if saver.failed:
        console.say(f"ended at {end}, which could not be saved")
        return stop.exit_status or 1
    if stop:
        console.say(f"stopped and saved at {end}: --continue_train goes on from there")
    else:
        console.say(f"trained to epoch {progress.last_epoch}: {options.folder.path}")
    return stop.exit_status


def prepare_folder(
    options: TrainOptions, model: BaseModel, progress: Progress, console: ConsoleSink
) -> Mapping[str, Any]:
    """Load the run that is to be continued, or make sure that none is overwritten. Returns the state that was loaded,
    on the main process."""
    state: Mapping[str, Any] = {}
    if distributed.from_main(lambda: make_way(options, console)):
        state = restore(options, model, progress, console)
        for change in options.changes:
            console.say(f"changed: {change}")
    elif options.initial is not None:
        initial = options.initial
        distributed.on_main(lambda: initial.load(model.networks, console.say))
    distributed.share_weights(model.networks.values())
    return state


def tell_that_it_is_over(options: TrainOptions, progress: Progress, console: ConsoleSink) -> int:
    """Say that the run is as long as was asked for already; nothing in its folder changes. Returns the exit status."""
    schedule = options.model.schedule
    console.say(f"nothing to train: {options.folder.path} is already at epoch {progress.epoch - 1}, and --n_epochs "
                f"{schedule.n_epochs} with --n_epochs_decay {schedule.n_epochs_decay} end at epoch "
                f"{schedule.last_epoch}; raise --n_epochs or --n_epochs_decay to train further")  # fmt: skip
    return 0


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


def restore(options: TrainOptions, model: BaseModel, progress: Progress, console: ConsoleSink) -> Mapping[str, Any]:
    """Fill model and progress from the checkpoint that the options name. The training state exists for `latest` alone;
    the main process gets it."""
    folder, label, typed = options.folder, options.checkpoint.label, options.model.schedule.epoch_count
    state = distributed.on_main(lambda: load_checkpoint(folder, label, model, console))
    if distributed.from_main(lambda: state is not None):
        try:
            model.load_state_dict(state["model"] if state else None)
            progress.load_state_dict(distributed.from_main(lambda: state["progress"] if state else {}))
        except UserError:
            raise
        except Exception as error:  # torch raises nearly every type on a state that is not its own
            raise CheckpointError(f"{folder.state_path} does not fit this model: {error!r}; move it away to go on from "
                                  "the networks alone") from error  # fmt: skip
        if typed not in (None, progress.epoch):
            obey_epoch_count(typed, folder, model, progress, console)
        console.say(f"continuing {folder.path} at epoch {progress.epoch}, image {progress.epoch_images}")
        if state and (before := count_processes(state["model"])) != place().processes:
            console.say(f"note: processes before {before}, now {place().processes}: image pools begin empty")
        return state or {}
    following = distributed.from_main(lambda: folder.epoch_after(label, progress.images_per_epoch))
    begin_again(following if typed is None else typed, folder, model, progress)
    console.say(f"continuing the networks of {folder.path} ({label}) at epoch {progress.epoch}, with fresh optimizers")
    return {}


def begin_again(epoch: int, folder: RunFolder, model: BaseModel, progress: Progress) -> None:
    """Go on at the beginning of an epoch, at its learning rate."""
    progress.begin_again(epoch, distributed.from_main(lambda: last_restart(folder.path)))
    for optimization in model.optimizations.values():
        optimization.schedule.begin_at(epoch)


def obey_epoch_count(epoch: int, folder: RunFolder, model: BaseModel, progress: Progress, console: ConsoleSink) -> None:
    """Go on at the epoch that was typed, with the optimizers as they were saved at another one."""
    saved = f"epoch {progress.epoch}, image {progress.epoch_images}"
    if distributed.restarts():
        console.say(f"note: --epoch_count {epoch} is not obeyed, as torchrun started this again: the run is at {saved}")
        return
    begin_again(epoch, folder, model, progress)
    told = f"note: --epoch_count {epoch} is obeyed, though the run was saved at {saved}"
    console.say(f"{told}: leave the option out to go on from there")


def load_checkpoint(folder: RunFolder, label: str, model: BaseModel, console: ConsoleSink) -> dict[str, Any] | None:
    """Fill the networks from the checkpoint `label`; returns the training state, if it has one."""
    if label == LATEST:
        return folder.resume(model.networks, console.say)
    folder.load_networks(label, model.networks)
    return None


def restore_parts(parts: Mapping[str, Part], state: Mapping[str, Any]) -> None:
    """Give each part its state, as far as the checkpoint has one: those of older versions lack some."""
    for name, part in parts.items():
        if name in state:
            part.load_state_dict(state[name])


def create_held_out(
    options: TrainOptions, device: torch.device, channels: dict[str, int], console: ConsoleSink
) -> HeldOut | None:
    """What measures translations during the training; None where that is not asked for. Its photos and weights are
    looked for before the first step."""
    if options.held_out.eval_freq == 0:
        return None
    if channels != {"A": 3, "B": 3}:
        raise OptionError("--eval_freq needs colour images (--input_nc 3 --output_nc 3), as the estimator does")
    photos = load_held_out(options.data, options.held_out.eval_phase, channels, options.held_out.eval_faces,
                           console.say)  # fmt: skip
    return HeldOut.load(options.held_out, photos, device, young="A" if options.data.direction == "AtoB" else "B",
                        aligned=is_aligned(options.data.dataroot))  # fmt: skip


def measure_held_out(
    options: TrainOptions,
    held_out: HeldOut | None,
    best: Best,
    model: BaseModel,
    progress: Progress,
    visualizer: Visualizer,
) -> list[str]:
    """Measure and show what held-out faces score, where it is due; returns the label of the best networks so far,
    where these are."""
    if not options.held_out.due(progress.epoch):
        return []
    values = distributed.on_main(lambda: held_out.measure(model) if held_out else None)
    if values is None:  # of several processes, the main one measures
        return []
    visualizer.measures(progress, values)
    return [BEST] if best.improved(values["score"], progress.epoch) else []


def describe_networks(model: BaseModel, console: ConsoleSink, *, verbose: bool) -> None:
    """Print each network's number of parameters, and its layers if verbose."""
    for name, network in model.networks.items():
        if verbose:
            console.say(str(network))
        count = sum(parameter.numel() for parameter in network.parameters())
        console.say(f"[Network {name}] {count / 1e6:.3f} M parameters")


def create_visualizer(
    options: TrainOptions, device: torch.device, model: BaseModel, progress: Progress, console: ConsoleSink
) -> Visualizer:
    """All sinks that the options ask for; those that keep a history go on from where `progress` stands."""
    display, path, name = options.display, options.folder.path, options.run.name
    if not place().is_main:
        return Visualizer(display, [], {}, average=distributed.average)
    log = CsvSink(path, progress)
    changes = [f"changed: {change}" for change in options.changes]
    log_of_public_format = LossLogSink(path, progress, changes)
    measured = MeasureCsvSink(path, progress)
    sinks: list[Sink] = [console, log_of_public_format, log, measured]
    image_frequencies: dict[Sink, int] = {}
    if not display.no_html:
        faces = FixedFaces(load_faces(options, console))
        page = HtmlSink(path, f"{name}: training", display.display_winsize, options.values, log.history,
                        measured.history, translate=lambda: faces.translate(model),
                        checkpoint=options.folder.describe_latest,
                        is_reversed=options.data.direction == "BtoA")  # fmt: skip
        sinks.append(page)
        image_frequencies[page] = display.update_html_freq
    if not display.no_visdom:
        dashboard = VisdomSink(display.display_server, display.display_port, display.display_env, display.display_ncols,
                               name, options.table, log.history, measured.history)  # fmt: skip
        sinks.append(dashboard)
        image_frequencies[dashboard] = display.display_freq
    if display.tensorboard:
        board = TensorBoardSink(path, options.table, progress.total_images)
        sinks.append(board)
        image_frequencies[board] = display.display_freq
    if display.use_wandb:
        wandb = WandbSink(path, display.wandb_project_name, name, options.values)
        sinks.append(wandb)
        image_frequencies[wandb] = display.display_freq
    return Visualizer(display, sinks, image_frequencies, memory=lambda: memory_in_use(device),
                      average=distributed.average)  # fmt: skip


def load_faces(options: TrainOptions, console: ConsoleSink) -> dict[str, Tensor]:
    """The faces that the page shows through all epochs: held-out ones, else some of those to train on. Without any of
    them there is nothing to show, which ends no run."""
    for phase in (options.held_out.eval_phase, options.data.phase):
        with contextlib.suppress(DataError):
            return load_held_out(options.data, phase, options.model.channels, FACES_SHOWN, console.say)
    return {}


if __name__ == "__main__":
    with distributed.started(), told_in_one_line("train.py", distributed.is_first_to_tell):
        sys.exit(main())
