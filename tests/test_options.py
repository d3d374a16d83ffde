"""Options: public names, 2018 spellings, help, saving, and what test.py takes from a run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from data.transforms import TransformOptions
from options import parse_test_options, parse_train_options
from options.presets import PRESETS
from options.train_options import CHANGEABLE
from util.arguments import OptionError, build
from util.run.run_folder import RunFolder

PUBLIC_NAMES = [
    "dataroot",
    "name",
    "model",
    "dataset_mode",
    "direction",
    "batch_size",
    "load_size",
    "crop_size",
    "preprocess",
    "no_flip",
    "netG",
    "netD",
    "ngf",
    "ndf",
    "norm",
    "no_dropout",
    "init_type",
    "init_gain",
    "gan_mode",
    "lambda_A",
    "lambda_B",
    "lambda_identity",
    "pool_size",
    "lr",
    "beta1",
    "lr_policy",
    "lr_decay_iters",
    "n_epochs",
    "n_epochs_decay",
    "epoch_count",
    "continue_train",
    "epoch",
    "load_iter",
    "phase",
    "save_latest_freq",
    "save_epoch_freq",
    "print_freq",
    "display_freq",
    "display_ncols",
    "display_server",
    "display_port",
    "display_env",
    "update_html_freq",
    "no_html",
    "num_threads",
    "serial_batches",
    "max_dataset_size",
    "gpu_ids",
    "checkpoints_dir",
    "suffix",
    "verbose",
]
PUBLIC_TEST_NAMES = [
    "dataroot",
    "name",
    "model",
    "results_dir",
    "num_test",
    "aspect_ratio",
    "phase",
    "epoch",
    "load_iter",
]


def train(*words: str, dataroot: str = "faces"):  # type: ignore[no-untyped-def]
    return parse_train_options(["--dataroot", dataroot, *words])


def help_text(parse, capsys: pytest.CaptureFixture[str]) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_lists_the_public_names_by_subject_with_units_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(parse_train_options, capsys)
    for name in PUBLIC_NAMES:
        assert f"--{name}" in text, name
    for heading in ("all networks:", "generators:", "CycleGAN losses:", "preprocessing:", "monitoring:"):
        assert f"\n{heading}" in text
    assert "(pixels; default: 286)" in text and "(epochs; default: 100)" in text
    assert "loadSize" not in text, "old spellings work, but are not advertised"
    text = help_text(parse_test_options, capsys)
    for name in PUBLIC_TEST_NAMES:
        assert f"--{name}" in text, name
    assert "--lr" not in text and "--lambda_A" not in text


def test_help_is_of_the_chosen_model_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(lambda argv: parse_test_options(["--model", "test", *argv]), capsys)
    assert "--model_suffix" in text and "--direction" not in text


def test_defaults_are_the_papers() -> None:
    values = train().values
    expected = {
        "netG": "resnet_9blocks",
        "ngf": 64,
        "norm": "instance",
        "netD": "basic",
        "gan_mode": "lsgan",
        "lambda_A": 10.0,
        "lambda_B": 10.0,
        "lambda_identity": 0.5,
        "pool_size": 50,
        "lr": 0.0002,
        "beta1": 0.5,
        "n_epochs": 100,
        "n_epochs_decay": 100,
        "load_size": 286,
        "crop_size": 256,
        "batch_size": 1,
        "init_type": "normal",
        "init_gain": 0.02,
        "dropout": False,
        "preprocess": "resize_and_crop",
    }
    assert {name: values[name] for name in expected} == expected


def test_spellings_of_2018_are_accepted_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--loadSize 40 --fineSize 32 --niter 3 --niter_decay 4 --resize_or_crop crop --no_lsgan --batchSize 2"
    values = train(*words.split(), "--nThreads", "1", "--display_id", "0", "--lr_policy", "lambda").values
    expected = {
        "load_size": 40,
        "crop_size": 32,
        "n_epochs": 3,
        "n_epochs_decay": 4,
        "preprocess": "crop",
        "gan_mode": "vanilla",
        "batch_size": 2,
        "num_threads": 1,
        "no_visdom": True,
        "lr_policy": "linear",
    }
    assert {name: values[name] for name in expected} == expected
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert "note: --loadSize is deprecated; use --load_size 40 instead" in notes
    assert len(notes) == 9, "one line each"
    assert parse_test_options(["--dataroot", "x", "--ntest", "7"]).values["num_test"] == 7


def test_dropout_can_be_said_both_ways() -> None:
    assert train("--dropout").model.generator.dropout is True
    assert train("--no_dropout").model.generator.dropout is False


@pytest.mark.parametrize("value", [True, 0, {}, [True], ["a"], [1.0, 2.0], "a", "1,2", [], [10**400]])
def test_saved_numbers_that_cannot_be_are_told(tmp_path: Path, value: object) -> None:
    (tmp_path / "run").mkdir()
    words = ["--dataroot", "faces", "--name", "run", "--checkpoints_dir", str(tmp_path)]
    saved = parse_train_options(words).values
    for kept, good in ((saved | {"face_std": [1, 2.5, 3]}, True), (saved | {"face_std": value}, False)):
        (tmp_path / "run" / "opt.json").write_text(json.dumps(kept))
        with contextlib.nullcontext() if good else pytest.raises(OptionError, match="face_std"):
            assert parse_train_options([*words, "--continue_train"]).held_out.face.face_std == (1, 2.5, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nmae", "x"], "unknown option --nmae (did you mean --name?)"),
        (["--loadsize", "3"], "known options: --accumulate --age_estimator --age_loss"),
        (["--model", "pix2pix"], "'cycle_gan', 'test'"),
        (["--dataset_mode", "aligned"], "'unaligned', 'single'"),
        (["--netG", "resnet_0blocks"], "known: resnet_9blocks, resnet_6blocks, resnet_Nblocks, unet_128, unet_256"),
        (["--netD", "patch"], "'basic', 'n_layers', 'pixel'"),
        (["--lr_policy", "none"], "'linear', 'step', 'plateau', 'cosine'"),
        (["--batch_size", "two"], "argument --batch_size: invalid int value: 'two'"),
        (["--load", "3"], "unknown option --load"),
    ],
)
def test_wrong_words_are_answered_with_what_is_known(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        train(*words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "../elsewhere"], r"--name"),
        (["--batch_size", "0"], r"--batch_size 0"),
        (["--max_dataset_size", "0"], r"--max_dataset_size 0"),
        (["--print_freq", "0"], r"--print_freq 0"),
        (["--pool_size", "-1"], r"--pool_size -1"),
        (["--input_nc", "2"], r"--input_nc 2"),
        (["--suffix", "{nothing}"], r"--suffix .*nothing"),
        (["--model", "test"], r"train with --model cycle_gan"),
        (["--seed", "-3"], r"--seed -3"),
        (["--accumulate", "0"], r"--accumulate 0"),
    ],
)
def test_values_that_cannot_be_name_their_flag(words: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        train(*words)


def test_dataroot_is_required() -> None:
    with pytest.raises(OptionError, match="--dataroot is required"):
        parse_train_options([])


def test_suffix_is_filled_with_options() -> None:
    options = train("--name", "x", "--suffix", "{model}_{netG}_size{load_size}", "--load_size", "300")
    assert options.run.name == "x_cycle_gan_resnet_9blocks_size300"
    assert options.folder.path == Path("checkpoints/x_cycle_gan_resnet_9blocks_size300")


def saved_run(tmp_path: Path, *words: str) -> list[str]:
    """A run folder as train.py leaves it; returns the words that name it."""
    named = ["--name", "run", "--checkpoints_dir", str(tmp_path)]
    options = train(*named, *words, dataroot="/faces")
    options.folder.write_options(options.values, options.table)
    return named


def test_options_are_saved_for_people_and_for_programs(tmp_path: Path) -> None:
    saved_run(tmp_path, "--ngf", "16")
    values = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert values["ngf"] == 16 and values["dataroot"] == "/faces" and values["max_dataset_size"] is None
    lines = [" ".join(line.split()) for line in (tmp_path / "run" / "opt.txt").read_text().splitlines()]
    assert "ngf: 16 [default: 64]" in lines and "lr: 0.0002" in lines


def test_test_needs_only_the_name(tmp_path: Path) -> None:
    named = saved_run(
        tmp_path,
        *(
            "--ngf 16 --netG resnet_3blocks --dropout --crop_size 64 --load_size 72 --direction BtoA --input_nc 1 "
            "--lambda_identity 0"
        ).split(),
    )
    options = parse_test_options(named)
    assert (options.model.generator.netG, options.model.generator.ngf) == ("resnet_3blocks", 16)
    assert options.model.generator.dropout and options.model.network.input_nc == 1
    assert (options.data.transform.load_size, options.data.transform.crop_size) == (64, 64)
    assert options.data.direction == "BtoA" and options.data.phase == "test" and options.data.dataroot == Path("/faces")
    assert options.result_folder == Path("results/run/latest_test")
    one_way = parse_test_options([*named, "--model", "test", "--dataroot", "x", "--model_suffix", "_A"])
    assert one_way.model.generator.ngf == 16 and one_way.choice.dataset_mode == "single"


@pytest.mark.parametrize(("preprocess", "trained"), [("resize_and_crop", 64), ("resize", 72)])
def test_photos_are_translated_at_the_test_size_unless_a_size_is_typed(
    preprocess: str, trained: int, tmp_path: Path
) -> None:
    sizes = ["--load_size", "72", "--crop_size", "64", "--test_size", "96", "--preprocess", preprocess]
    named = saved_run(tmp_path, *sizes)

    def size(*words: str) -> int:
        return parse_test_options([*named, *words]).data.transform.load_size

    assert size() == 96 and size("--test_size", "80") == 80 and size("--test_size", "0") == trained
    assert size("--load_size", "64", "--crop_size", "64") == 64
    with pytest.raises(OptionError, match=r"--test_size 98: generators need a multiple of 4, for example 96"):
        build(TransformOptions, {"test_size": 98})


def test_a_flag_that_contradicts_the_checkpoint_is_refused_with_both_values(tmp_path: Path) -> None:
    named = saved_run(tmp_path, "--ngf", "16")
    with pytest.raises(OptionError, match=r"--ngf 32 contradicts .*run, which was trained with --ngf 16"):
        parse_test_options([*named, "--ngf", "32"])
    assert parse_test_options([*named, "--ngf", "16", "--crop_size", "128"]).data.transform.load_size == 128
    with pytest.raises(OptionError, match=r"--norm batch contradicts"):
        parse_train_options([*named, "--continue_train", "--norm", "batch"])


def test_continuing_takes_the_runs_options_for_those_not_typed(tmp_path: Path) -> None:
    named = saved_run(tmp_path, "--ngf", "16", "--batch_size", "3", "--lr", "0.01", "--epoch_count", "4")
    options = parse_train_options([*named, "--continue_train", "--lr", "0.02"])
    assert options.model.generator.ngf == 16 and options.loading.batch_size == 3
    assert options.model.schedule.lr == 0.02 and options.model.schedule.epoch_count is None
    assert options.data.dataroot == Path("/faces")
    assert parse_train_options([*named, "--dataroot", "x"]).loading.batch_size == 1, "only when continuing"


def test_a_run_without_saved_options_takes_flags_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    options = parse_test_options(["--name", "run", "--checkpoints_dir", str(tmp_path), "--dataroot", "x", "--ngf", "8"])
    assert options.model.generator.ngf == 8 and options.model.generator.netG == "resnet_9blocks"
    assert RunFolder(tmp_path, "run").read_options() == {}


def test_every_option_that_may_change_exists() -> None:
    known = set(train().values) | {"suffix"}
    assert set(CHANGEABLE) <= known, "a name that is none would make an option fixed without a word"


def test_where_a_flag_is_left_out_or_repeated_nothing_has_changed(tmp_path: Path) -> None:
    named = saved_run(tmp_path, "--ngf", "16", "--batch_size", "3", "--max_dataset_size", "7", "--no_flip")
    assert parse_train_options([*named, "--continue_train"]).changes == ()
    assert parse_train_options([*named, "--continue_train", "--batch_size", "3", "--dataroot", "/faces"]).changes == ()


def test_another_epochs_networks_may_be_trained_on_otherwise(tmp_path: Path) -> None:
    named = saved_run(tmp_path, "--batch_size", "3")
    with pytest.raises(OptionError, match=r"--batch_size 4 cannot be used to resume.*with --init_from run\)$"):
        parse_train_options([*named, "--continue_train", "--batch_size", "4"])
    options = parse_train_options([*named, "--continue_train", "--epoch", "5", "--batch_size", "4"])
    assert options.changes == ("--batch_size 3 -> 4",)


def test_a_preset_stands_for_options_that_typed_ones_override(tmp_path: Path) -> None:
    words = ["--preset", "best", "--checkpoints_dir", str(tmp_path), "--name", "run", "--ngf", "8"]
    options = train(*words, "--features", str(shipped_teacher()))
    assert options.values["crop_size"] == PRESETS["best"]["crop_size"] == options.data.transform.crop_size
    assert options.values["ngf"] == 8 and options.values["preset"] == "best"
    options.folder.path.mkdir()
    options.folder.write_options(options.values, options.table)
    resumed = train("--continue_train", "--name", "run", "--checkpoints_dir", str(tmp_path)).values
    assert resumed == {**options.values, "continue_train": True}
    older = {name: value for name, value in options.values.items() if name != "wrong_age"}
    options.folder.write_options(older, options.table)
    assert train("--continue_train", "--name", "run", "--checkpoints_dir", str(tmp_path)).values["wrong_age"] == 0.0
    with pytest.raises(SystemExit):
        train("--preset", "unknown")


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_every_value_of_a_preset_is_one_that_could_be_typed(name: str) -> None:
    typed = [
        word
        for flag, value in PRESETS[name].items()
        for word in ([f"--{flag}"] if value is True else [f"--{flag}", str(value)])
    ]
    by_hand, by_preset = train(*typed).values, train("--preset", name).values
    assert {**by_hand, "preset": name} == by_preset


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_every_option_that_a_preset_turns_on_can_be_turned_off(name: str) -> None:
    turned_on = [flag for flag, value in PRESETS[name].items() if value is True]
    off = train("--preset", name, *(f"--no_{flag}" for flag in turned_on)).values
    assert turned_on and not any(off[flag] for flag in turned_on)
    assert off == {**train("--preset", name).values, **dict.fromkeys(turned_on, False)}


def shipped_teacher() -> Path:
    return Path(__file__).parents[1] / "checkpoints" / "age_estimator" / "teacher.safetensors"


def test_commands_that_use_a_model_take_the_shipped_one_where_no_run_is_named(tmp_path: Path) -> None:
    words = ["--dataroot", "faces", "--checkpoints_dir", str(tmp_path)]
    assert parse_test_options(words).run.name == "experiment_name"
    shipped = tmp_path / "young2old"
    shipped.mkdir()
    (shipped / "opt.json").write_text(json.dumps({"ngf": 8, "model": "cycle_gan"}))
    options = parse_test_options(words)
    assert options.run.name == "young2old" and options.model.generator.ngf == 8
    (tmp_path / "experiment_name").mkdir()
    assert parse_test_options(words).run.name == "experiment_name"


def test_a_run_saved_with_an_option_value_that_is_gone_still_goes_on(tmp_path: Path) -> None:
    words = ["--checkpoints_dir", str(tmp_path), "--name", "run"]
    options = train(*words)
    options.folder.path.mkdir()
    options.folder.write_options({**options.values, "on_nan": "rollback", "cache": "disk"}, options.table)
    resumed = train("--continue_train", *words)
    assert (resumed.guard.on_nan, resumed.loading.cache.cache) == ("stop", "auto")
