"""Measure the aging, identity, realism and cycle error of translations, of a run or of a folder of results.

    python evaluate.py --dataroot ./datasets/young2old --name aging_cyclegan
    python evaluate.py --results results/aging_cyclegan/latest_test

prints a table and writes report.html, metrics.json, metrics.csv and per_photo.csv to the folder `evaluation` beside the
results. docs/evaluation.md describes the metrics and their weaknesses. `python evaluate.py --help` lists all options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from data import create_test_loaders
from evaluation.folder_source import FolderSource
from evaluation.instruments import Instruments, load_instruments
from evaluation.measuring import Measured, measure
from evaluation.metrics.identity import Verification
from evaluation.model_source import ModelSource
from evaluation.pages import write_page
from evaluation.people import People, share_trained_on
from evaluation.report import console_table, json_record, write_files
from evaluation.sources import DOMAINS, TITLES, Source
from evaluation.summary import summarize
from evaluation.tables import Summary
from models import create_model
from options import EvaluateOptions, TestOptions, parse_evaluate_options
from util.device import describe_device, select_device
from util.errors import told_in_one_line
from util.terminal import CountedWork
from util.text import printable

FEW_PAIRS = 10_000
"""Pairs of different people: with fewer, a false-accept rate of 0.1 % depends on less than ten pairs."""


def main() -> None:
    """Measure each photo and its translation, print the summary, and write the report."""
    options = parse_evaluate_options()
    device = select_device(options.values["gpu_ids"])
    print(options.table)
    measures = options.measures
    instruments = load_instruments(
        measures.age_estimator, measures.face, measures.inception, options.saved, device, options.aligned
    )
    people = People(options.manifest, phase=options.values.get("phase", "test"))
    source = open_source(options, device)
    print(f"measuring on {describe_device(device)}")
    measured = {}
    for direction, count in source.counts().items():
        with CountedWork(TITLES[direction], count, "photos") as line:
            measured[direction] = measure(direction, source.batches(direction), instruments, people, line.advance)
    summary = summarize(measured, list(instruments.estimators), options.measures.bootstrap, options.values["seed"])
    notes = remarks(options, source, instruments, people, measured, summary)
    print(console_table(summary), "", *map(printable, notes), sep="\n")
    print(f"report: {write_report(options, source, instruments, measured, summary, notes)}")


def open_source(options: EvaluateOptions, device: torch.device) -> Source:
    """The source of the pairs: a run or a folder of results."""
    if options.run is not None:
        return run_source(options.run, device)
    assert options.folder is not None and options.measures.results is not None
    return FolderSource(options.measures.results, options.direction, options.folder.batch_size, device, options.one_way)


def run_source(options: TestOptions, device: torch.device) -> ModelSource:
    """A source that translates the test photos of a run. Raises CheckpointError, DataError, OptionError."""
    model = create_model(options.choice.model, options.model, device, training=False)
    options.folder.load_networks(options.checkpoint.label, model.networks)
    mode, channels, limit = options.choice.dataset_mode, options.model.channels, options.results.num_test
    loaders = create_test_loaders(mode, options.data, options.loading, channels, limit, device)
    return ModelSource(
        model,
        loaders,
        options.data.folders(),
        options.data.direction,
        title=f"{options.run.name}: {options.checkpoint.label} on {options.data.dataroot}",
        weights=[options.folder.weights_path(options.checkpoint.label, name) for name in model.networks],
    )


def remarks(
    options: EvaluateOptions,
    source: Source,
    instruments: Instruments,
    people: People,
    measured: Mapping[str, Measured],
    summary: Summary,
) -> list[str]:
    """Notes for the reader of the report: what was left out, what was not computed, and what the figures depend on."""
    notes = [*source.notes, *instruments.notes]
    if people.path is None:
        notes.append(
            "there is no manifest.csv: true ages and the estimator's error are unknown, genders are estimated, and "
            "each photo counts as a different person"
        )
    elif people.missing:
        notes.append(f"{people.missing} photos are not in {people.path}: each counts as a different person")
    if not options.saved:
        notes.append(
            "it is unknown how the model was trained: make sure that none of these estimators was used in its training"
        )
    for direction in summary.columns:
        if not any(key != direction and own.names for key, own in measured.items()):
            target = DOMAINS[direction][1]
            notes.append(
                f"{TITLES[direction]}: distances from real target faces need images real_{target}, which are missing"
            )
    if summary.verification:
        notes.append(describe_threshold(summary.verification))
    return notes + overlap_warnings(instruments, measured)


def describe_threshold(verified: Verification) -> str:
    """The verification threshold, and the number of pairs that it is based on."""
    text = f"verified means a cosine of at least {verified.threshold:.3f}, which {verified.accepted:.2%} of "
    text += f"{verified.impostor_pairs:,} pairs of different people reach"
    if verified.genuine_pairs:
        text += f", and {verified.genuine_accepted:.0%} of {verified.genuine_pairs:,} pairs of photos of one person"
    few = f"; with fewer than {FEW_PAIRS:,} pairs, the threshold is inaccurate"
    return text + (few if verified.impostor_pairs < FEW_PAIRS else "")


def overlap_warnings(instruments: Instruments, measured: Mapping[str, Measured]) -> list[str]:
    """A warning for each estimator that was trained on test people, because it has memorised their ages."""
    persons = [person for own in measured.values() for person in own.persons]
    warnings = []
    for name, estimator in instruments.estimators.items():
        trained = estimator.notes.get("people_trained", [])
        common, known = share_trained_on(persons, trained if isinstance(trained, list) else [])
        if common:
            warnings.append(
                f"WARNING: the estimator {name} was trained on {common} of the {known} test people "
                f"({common / known:.0%}). It may have memorised their ages, so neither its error nor its ages are "
                "reliable here. Use an estimator that was trained without them"
            )
    return warnings


def write_report(
    options: EvaluateOptions,
    source: Source,
    instruments: Instruments,
    measured: Mapping[str, Measured],
    summary: Summary,
    notes: Sequence[str],
) -> str:
    """Write all files of the report; returns the path of the page. Raises OSError."""
    weights = [*instruments.weights, *source.weights]
    record = json_record(source.title, summary, options.values, weights, notes)
    size = options.run.results.display_winsize if options.run else 256
    write_files(options.output, record, measured, summary)
    page = write_page(
        options.output,
        source,
        measured,
        summary,
        weights,
        notes,
        options.values,
        examples=options.measures.examples,
        image_size=size,
    )
    return str(page)


if __name__ == "__main__":
    with told_in_one_line("evaluate.py", interrupted="nothing was written"):
        main()
