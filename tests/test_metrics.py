"""The measures of evaluate.py on numbers and pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, ndimage, stats

from evaluation.metrics import fidelity, statistics
from evaluation.metrics.bootstrap import draw_people, estimate
from evaluation.metrics.identity import cosines, pair_cosines, threshold_at, verification
from evaluation.metrics.progression import wasserstein
from evaluation.metrics.realism import Kernels, fid, floor, halves, kernels_of, kid, polynomial_kernel


def random_values(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 8, count)


@pytest.mark.parametrize("count", [5, 6])
@pytest.mark.parametrize(
    ("statistic", "plain"),
    [
        (statistics.mean, np.mean),
        (statistics.median, np.median),
        (statistics.maximum, np.max),
        (statistics.mean_absolute, lambda values: np.mean(np.abs(values))),
        (statistics.share_above(10), lambda values: np.mean(values > 10)),
        (statistics.share_below(0), lambda values: np.mean(values < 0)),
        (statistics.mean_distance_from(30), lambda values: abs(np.mean(values) - 30)),
        (statistics.geometric_mean, lambda values: np.exp(np.mean(np.log(np.maximum(values, 1e-12))))),
    ],
)
def test_weights_count_as_so_many_copies(statistic, plain, count: int) -> None:
    values = random_values(count)
    copies = np.array([[1] * count, [0, 3, 1, 0, 2, 5][:count], [0] * count])
    made = statistic(values, copies.astype(float))
    assert made[:2] == pytest.approx([plain(np.repeat(values, row)) for row in copies[:2]])
    assert np.isnan(made[2]), "of nothing, nothing is known"


def test_the_distance_of_ages_is_scipys_weighted_too() -> None:
    first, second = random_values(7), random_values(9, seed=1) + 5
    rng = np.random.default_rng(2)
    ours, theirs = rng.integers(0, 4, (3, 7)).astype(float), rng.integers(0, 4, (3, 9)).astype(float)
    made = wasserstein(first, second)(ours, theirs)
    expected = [stats.wasserstein_distance(first, second, a, b) for a, b in zip(ours, theirs, strict=True)]
    assert made == pytest.approx(expected)
    assert wasserstein(first, first + 12.5)(np.ones((1, 7)), np.ones((1, 7)))[0] == pytest.approx(12.5)


def covered(people_counted: bool, rounds: int = 1000) -> float:
    """How often the 95 % interval of a mean holds the truth, 0, where 4 photos of each of 40 people resemble each
    other."""
    rng, hits = np.random.default_rng(5), 0
    persons = np.repeat(np.arange(40), 4)
    for seed in range(rounds):
        values = rng.normal(0, 3, 40)[persons] + rng.normal(0, 1, 160)
        groups = persons if people_counted else np.arange(160)
        counts = draw_people(groups.max() + 1, 400, seed)
        made = estimate(lambda weights, values=values: statistics.mean(values, weights), [groups], counts)
        hits += made.low <= 0 <= made.high
    return hits / rounds


def test_intervals_hold_the_truth_as_often_as_they_say_if_people_are_drawn() -> None:
    assert 0.92 <= covered(people_counted=True) <= 0.97
    assert covered(people_counted=False) < 0.7, "photos of one person are no independent witnesses"


def test_an_interval_follows_from_its_seed_and_needs_two_people() -> None:
    values, people = random_values(30), np.arange(30)

    def bounds(seed: int) -> tuple[float, ...]:
        return estimate(lambda weights: statistics.mean(values, weights), [people], draw_people(30, 500, seed))

    assert bounds(1) == bounds(1) != bounds(2)
    assert bounds(1)[0] == pytest.approx(values.mean())
    alone = estimate(lambda weights: statistics.mean(values, weights), [people * 0], draw_people(30, 500, 1))
    assert alone.value == pytest.approx(values.mean()) and np.isnan(alone.low)
    nobody = estimate(lambda weights: statistics.mean(values[:0], weights), [people[:0]], draw_people(30, 5, 1))
    assert np.isnan(nobody.value)


def test_counts_of_people_are_draws_with_replacement() -> None:
    counts = draw_people(50, 300, seed=3)
    assert counts.shape == (300, 50) and (counts.sum(axis=1) == 50).all()
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def features(count: int, shift: float = 0.0, seed: int = 0, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, width))


def plain_kid(first: np.ndarray, second: np.ndarray) -> float:
    """By the definition, pair by pair."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / len(x) + 1) ** 3

    def within(photos: np.ndarray) -> float:
        count = len(photos)
        pairs = [kernel(photos[i], photos[j]) for i in range(count) for j in range(count) if i != j]
        return sum(pairs) / (count * (count - 1))

    return within(first) + within(second) - 2 * np.mean([[kernel(x, y) for y in second] for x in first])


def test_kid_is_the_unbiased_estimate_of_its_definition() -> None:
    first, second = features(9), features(7, 0.4, seed=1)
    statistic = kid(kernels_of(first, second))
    assert statistic(np.ones((1, 9)), np.ones((1, 7)))[0] == pytest.approx(plain_kid(first, second))
    chosen = np.array([[1, 1, 0, 1, 0, 1, 1, 0, 1.0]]), np.array([[0, 1, 1, 1, 1, 0, 1.0]])
    expected = plain_kid(first[chosen[0][0] > 0], second[chosen[1][0] > 0])
    assert statistic(*chosen)[0] == pytest.approx(expected), "weights of 0 leave photos out"
    alike = [kernels_of(features(60, seed=2 * n), features(60, seed=2 * n + 1)) for n in range(60)]
    same = [kid(kernels)(np.ones((1, 60)), np.ones((1, 60)))[0] for kernels in alike]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60), "of one distribution it is 0 on average"


def test_photos_drawn_twice_do_not_add_to_the_kid() -> None:
    first, second = features(80), features(80, seed=1)
    statistic = kid(kernels_of(first, second))
    value = statistic(np.ones((1, 80)), np.ones((1, 80)))[0]
    counts = draw_people(160, 300, 0).astype(float)
    replicates = statistic(counts[:, :80], counts[:, 80:])
    assert abs(replicates.mean() - value) < replicates.std(), "no bias from a photo's copies"


def test_fid_is_the_frechet_distance_for_few_and_for_many_photos() -> None:
    for count in (8, 300):  # below and above the number of features
        first, second = features(count), features(count, 0.5, seed=1) * 1.3
        covariances = [np.cov(photos, rowvar=False) for photos in (first, second)]
        root = np.real(linalg.sqrtm(covariances[0] @ covariances[1]))
        expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
        assert fid(first, second) == pytest.approx(expected, rel=1e-4)
    assert fid(first, first) == pytest.approx(0, abs=1e-6)
    assert fid(first, first + 2) == pytest.approx(4 * 12)


def test_fid_and_kid_are_torch_fidelitys() -> None:
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid", reason="needs torch-fidelity")
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity")
    first, second = features(200), features(200, 0.3, seed=1)
    told = [metric_fid.fid_features_to_statistics(torch.from_numpy(photos)) for photos in (first, second)]
    theirs = metric_fid.fid_statistics_to_metric(*told, False)["frechet_inception_distance"]
    assert fid(first, second) == pytest.approx(theirs, rel=1e-5)
    told = metric_kid.kid_features_to_metric(
        *map(torch.from_numpy, (first, second)), verbose=False, kid_subsets=1, kid_subset_size=200
    )
    theirs = told["kernel_inception_distance_mean"]
    assert kid(kernels_of(first, second))(np.ones((1, 200)), np.ones((1, 200)))[0] == pytest.approx(theirs, rel=1e-5)


def test_halves_are_of_different_people() -> None:
    people = np.repeat(np.arange(30), [1, 2, 3] * 10)
    first, second = halves(people, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(60))
    assert not set(people[first]) & set(people[second])
    assert abs(len(first) - len(second)) <= 6


def test_the_floor_is_what_nothing_but_chance_makes() -> None:
    photos, people = features(60), np.arange(60)
    kernel = polynomial_kernel(photos, photos)

    def distance(first: np.ndarray, second: np.ndarray) -> float:
        within, other, between = np.ix_(first, first), np.ix_(second, second), np.ix_(first, second)
        statistic = kid(Kernels(kernel[within], kernel[other], kernel[between]))
        return statistic(np.ones((1, len(first))), np.ones((1, len(second))))[0]

    made = floor(distance, people, seed=0)
    moved = kid(kernels_of(photos, photos + 0.5))(np.ones((1, 60)), np.ones((1, 60)))[0]
    assert made.low <= made.value <= made.high < moved
    assert np.isnan(floor(distance, people[:3], seed=0).value), "no halves of three photos"


def test_the_threshold_accepts_as_many_impostors_as_it_may() -> None:
    impostors = np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)
    threshold = threshold_at(impostors, rate=0.001)
    assert (impostors >= threshold).sum() == 20
    assert (np.zeros(5000) >= threshold_at(np.zeros(5000), 0.001)).sum() == 0, "ties are refused rather than accepted"
    assert np.isnan(threshold_at(impostors[:0]))


def test_pairs_are_those_of_different_people_and_of_the_same() -> None:
    embeddings = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]] * 7
    impostors, genuine = pair_cosines(embeddings, np.array([5, 5, 6, 7]))
    assert genuine.tolist() == [1.0] and impostors.tolist() == [0.0] * 5
    verified = verification(embeddings, np.array([5, 5, 6, 7]))
    assert verified.impostor_pairs == 5 and verified.genuine_pairs == 1 and verified.genuine_accepted == 1.0
    assert cosines(embeddings, embeddings * 3) == pytest.approx(np.ones(4))
    assert np.isnan(verification(embeddings[2:3], np.array([1])).threshold)


def pictures(count: int = 3, size: int = 24) -> torch.Tensor:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(count, 3, size, size)), (0, 0, 1, 1))
    return torch.from_numpy(np.clip(smooth, -1, 1)).float()


def test_equal_images_have_no_error() -> None:
    images = pictures()
    assert fidelity.l1(images, images).tolist() == [0, 0, 0]
    assert fidelity.ssim(images, images).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert fidelity.psnr(images, images).tolist() == pytest.approx([fidelity.MOST_PSNR] * 3)


def test_errors_are_in_grey_levels_and_decibels() -> None:
    dark, light = torch.full((1, 3, 16, 16), -1.0), torch.full((1, 3, 16, 16), -1 + 2 * 10 / 255)
    assert float(fidelity.l1(dark, light)) == pytest.approx(10, rel=1e-5)
    assert float(fidelity.psnr(dark, light)) == pytest.approx(20 * np.log10(255 / 10), rel=1e-4)


def test_ssim_is_that_of_its_definition() -> None:
    first = pictures()
    second = (first * 0.7 + 0.1 * torch.randn(first.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    x, y = ((images.double().numpy() + 1) / 2 for images in (first, second))

    def blurred(images: np.ndarray) -> np.ndarray:  # radius 5: a window of 11
        return ndimage.gaussian_filter(images, (0, 0, 1.5, 1.5), radius=(0, 0, 5, 5))[..., 5:-5, 5:-5]

    means = blurred(x), blurred(y)
    variances = blurred(x * x) - means[0] ** 2, blurred(y * y) - means[1] ** 2
    covariance = blurred(x * y) - means[0] * means[1]
    map_ = (
        (2 * means[0] * means[1] + 1e-4)
        * (2 * covariance + 9e-4)
        / ((means[0] ** 2 + means[1] ** 2 + 1e-4) * (variances[0] + variances[1] + 9e-4))
    )
    assert fidelity.ssim(first, second).tolist() == pytest.approx(map_.mean(axis=(1, 2, 3)).tolist(), abs=1e-4)
    assert fidelity.ssim(first[..., :7, :7], first[..., :7, :7]).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_blurring_takes_sharpness_away() -> None:
    images = pictures()
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    assert (fidelity.sharpness(blurred) < 0.5 * fidelity.sharpness(images)).all()
    assert fidelity.sharpness(images * 0 + 0.3).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
