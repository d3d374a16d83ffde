"""Measure translations: aging, identity, realism, cycle error, of a run or of a folder of results.

    python evaluate.py --dataroot ./datasets/young2old --name aging_cyclegan --age_estimator FILE
    python evaluate.py --results results/aging_cyclegan/latest_test

prints a table, and writes report.html, metrics.json, metrics.csv, per_photo.csv into the folder `evaluation` beside the
results. What is measured, and how far to trust it: docs/evaluation.md. `python evaluate.py --help` lists all options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from options import EvaluateOptions, parse_evaluate_options
from scripts.evaluation.folder_source import FolderSource
from scripts.evaluation.instruments import Instruments, load_instruments
from scripts.evaluation.measuring import Measured, measure
from scripts.evaluation.model_source import ModelSource
from scripts.evaluation.page import write_page
from scripts.evaluation.people import People, share_trained_on
from scripts.evaluation.sources import DOMAINS, TITLES, Source
from scripts.evaluation.summary import summarize
from scripts.evaluation.table import Summary
from scripts.evaluation.telling import console_table, json_record, write_files
from util.device import describe_device, select_device
from util.errors import UserError, told_in_one_line
from util.terminal import CountedWork
from util.text import printable

FEW_PAIRS = 10_000
"""Of different people: with fewer, a false-accept rate of 0.1 % rests on less than ten pairs."""


def main() -> None:
    """Measure each photo and its translation, sum up, and tell."""
    options = parse_evaluate_options()
    device = select_device(options.gpu_ids)
    print(options.table)
    instruments = load_instruments(options.measures, options.saved, device)
    people = People(options.manifest, phase=options.values.get("phase", "test"))
    source = open_source(options, device)
    print(f"measuring on {describe_device(device)}")
    measured = {}
    for direction, count in source.counts().items():
        with CountedWork(TITLES[direction], count, "photos") as line:
            measured[direction] = measure(direction, source.batches(direction), instruments, people, line.advance)
    summary = summarize(measured, list(instruments.estimators), options.measures.bootstrap, options.seed)
    notes = remarks(options, source, instruments, people, measured, summary)
    print(console_table(summary), "", *map(printable, notes), sep="\n")
    print(f"report: {write_report(options, source, instruments, measured, summary, notes)}")


def open_source(options: EvaluateOptions, device: torch.device) -> Source:
    """Where the pairs come from."""
    if options.run is not None:
        return ModelSource(options.run, device)
    assert options.folder is not None and options.measures.results is not None
    return FolderSource(options.measures.results, options.folder.direction, options.folder.batch_size, device)


def remarks(
    options: EvaluateOptions,
    source: Source,
    instruments: Instruments,
    people: People,
    measured: Mapping[str, Measured],
    summary: Summary,
) -> list[str]:
    """What a reader of the numbers has to know: what was left out, what was not computed, what they rest on."""
    notes = [*source.notes, *instruments.notes]
    if people.path is None:
        notes.append("no manifest.csv: true ages are unknown, so the estimator's error is, too; genders are estimated; "
                     "each photo counts as a person of its own")  # fmt: skip
    elif people.missing:
        notes.append(f"{people.missing} photos are not in {people.path}: each counts as a person of its own")
    if options.run is None:
        notes.append(
            "a folder does not say what its model was trained with: take care that it was none of the estimators"
        )
    for direction in summary.columns:
        if not any(key != direction and own.names for key, own in measured.items()):
            target = DOMAINS[direction][1]
            notes.append(
                f"{TITLES[direction]}: without photos real_{target} there is no distance from real target faces"
            )
    verified = summary.verification
    if verified and verified.impostor_pairs < FEW_PAIRS:
        notes.append(f"the threshold of one person, {verified.threshold:.3f}, rests on {verified.impostor_pairs} pairs "
                     f"of different people only; {FEW_PAIRS} or more would do")  # fmt: skip
    return notes + overlap_warnings(instruments, measured)


def overlap_warnings(instruments: Instruments, measured: Mapping[str, Measured]) -> list[str]:
    """A warning for each estimator that was trained on test people: it knows their ages by heart."""
    persons = [person for own in measured.values() for person in own.persons]
    warnings = []
    for name, estimator in instruments.estimators.items():
        trained = estimator.notes.get("people_trained", [])
        common, known = share_trained_on(persons, trained if isinstance(trained, list) else [])
        if common:
            warnings.append(
                f"WARNING: the estimator {name} was trained on {common} of the {known} test people "
                f"({common / known:.0%}): its error on them says nothing, and its ages are theirs, not their faces'. "
                "Measure by an estimator that was trained without them"
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
    """Write all files; returns the page's path. Raises UserError where that is not possible."""
    weights = [*instruments.weights, *source.weights]
    record = json_record(source.title, summary, options.values, weights, notes)
    size = options.run.results.display_winsize if options.run else 256
    try:
        write_files(options.output, record, measured, summary)
        page = write_page(options.output, source, measured, summary, weights, notes, options.values,
                          examples=options.measures.examples, image_size=size)  # fmt: skip
    except OSError as error:
        raise UserError(
            f"{options.output} cannot be written ({error.strerror or error}): choose another --output"
        ) from error
    return str(page)


if __name__ == "__main__":
    with told_in_one_line("evaluate.py"):
        main()
