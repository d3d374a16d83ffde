"""The pool of earlier translations: its statistics, its order in a batch, its state."""

from __future__ import annotations

import torch

from util.image_pool import ImagePool


def numbered(*numbers: int) -> torch.Tensor:
    """One constant image for each number, (N, 1, 2, 2)."""
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def queried(pool: ImagePool, images: torch.Tensor) -> torch.Tensor:
    pool.draw([len(images)])
    return pool.exchange(images)


def ask(pool: ImagePool, *numbers: int) -> list[int]:
    return queried(pool, numbered(*numbers))[:, 0, 0, 0].int().tolist()


def test_a_full_pool_swaps_half_the_time_uniformly() -> None:
    pool = ImagePool(50, seed=3)
    returned = [ask(pool, number)[0] for number in range(10_050)]
    asked = list(range(10_050))
    older = [now - then for now, then in zip(asked, returned, strict=True) if now >= 50 and then != now]
    assert abs(len(older) / 10_000 - 0.5) < 0.02
    # A stored image is swapped out with probability 1/2 * 1/50 a query: ages are geometric with a mean of 100.
    assert abs(sum(older) / len(older) - 100) < 6
    assert min(older) >= 1


def test_a_batch_is_treated_as_images_one_after_another() -> None:
    """A batch of n draws other random numbers than n single queries; so compare with a plain sequential simulation."""
    pool, generator = ImagePool(2, seed=7), torch.Generator().manual_seed(7)
    stored: list[int] = []
    number = 0
    for size in (3, 5, 1, 8, 8, 8):
        batch = list(range(number, number + size))
        number += size
        swaps = (torch.rand(size, generator=generator) < 0.5).tolist()
        slots = torch.randint(2, (size,), generator=generator).tolist()
        expected = []
        for image, swap, slot in zip(batch, swaps, slots, strict=True):
            if len(stored) < 2:
                stored.append(image)
                expected.append(image)
            elif swap:
                expected.append(stored[slot])
                stored[slot] = image
            else:
                expected.append(image)
        assert ask(pool, *batch) == expected
    assert pool.buffer is not None and pool.buffer[: pool.size, 0, 0, 0].int().tolist() == stored


def test_what_comes_out_has_no_gradient_and_is_no_view_of_the_pool() -> None:
    pool = ImagePool(1, seed=0)
    images = torch.ones(1, 1, 2, 2, requires_grad=True)
    first = queried(pool, images * 2)
    assert not first.requires_grad
    for number in range(20):
        ask(pool, number)
    assert torch.equal(first, torch.full((1, 1, 2, 2), 2.0))


def test_size_zero_keeps_nothing() -> None:
    pool = ImagePool(0)
    assert ask(pool, 1, 2) == [1, 2]
    assert pool.buffer is None


def test_the_state_restores_images_and_draws() -> None:
    pool = ImagePool(3, seed=5)
    ask(pool, *range(7))
    copy = ImagePool(3, seed=0)
    copy.load_state_dict(pool.state_dict())
    assert [ask(pool, n) for n in range(7, 40)] == [ask(copy, n) for n in range(7, 40)]
