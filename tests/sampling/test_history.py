"""What is remembered of the last rays, and the pictures of it."""

import pytest
import torch

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.cells import GRID
from softmining_nerfstudio.sampling import history
from softmining_nerfstudio.sampling.history import History, error_colours, heat_map, over_white, with_walkers

HEIGHT, WIDTH = 64, 128


def seen(image: list[int], yx: list[tuple[float, float]], error: list[float]) -> Seen:
    size = torch.tensor([[HEIGHT, WIDTH]]).expand(len(image), 2)
    errors = torch.tensor(error)
    return Seen(torch.tensor(image), torch.tensor(yx), size, errors, errors, None)


def test_rays_are_counted_in_the_cells_of_their_image() -> None:
    kept = History()
    kept.add(seen([1, 1, 0], [(0.5, 0.5), (63.9, 127.9), (0.5, 0.5)], [0.2, 0.4, 9.0]))
    kept.add(seen([1], [(1.9, 3.9)], [0.6]))
    counts = kept.of_image(1)
    assert counts[0, 0] == 2
    assert counts[-1, -1] == 1
    assert counts.sum() == 3
    torch.testing.assert_close(kept.per_image(3), torch.tensor([9.0, 0.4, torch.nan]), equal_nan=True)


def test_no_more_rays_are_kept_than_memory_is_set_aside_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RAYS", 5)
    kept = History()
    assert not kept
    for step in range(4):
        kept.add(seen([step, step], [(1.0, 1.0)] * 2, [1.0] * 2))
    assert [int(kept.of_image(image).sum()) for image in range(4)] == [0, 0, 2, 2]
    kept.add(seen([7] * 9, [(1.0, 1.0)] * 9, [1.0] * 9))  # a single step may be larger
    assert int(kept.of_image(7).sum()) == 9


def test_curves_are_thinned_where_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LONGEST", 8)
    kept = History()
    for step in range(20):
        kept.add_statistics(step, {"Alpha": torch.tensor(step / 10), **({"Redrawn": 0.5} if step == 19 else {})})
    steps, values = kept.curve("Alpha")
    assert len(steps) <= 8
    assert steps[0] == 0
    assert steps[-3:] == [17, 18, 19]
    assert values == pytest.approx([step / 10 for step in steps])
    assert kept.curve("Redrawn") == ([19], [0.5])
    assert kept.names() == ["Alpha", "Redrawn"]


def test_a_heat_map_is_brightest_where_most_rays_went() -> None:
    counts = torch.zeros(GRID, GRID, dtype=torch.long)
    counts[3, 5], counts[9, 9] = 10, 4
    picture = heat_map(counts, HEIGHT, WIDTH)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    brightness = picture.sum(-1)
    assert brightness[6:8, 20:24].min() == brightness.max()
    assert brightness.min() < brightness[18, 36] < brightness.max()
    assert heat_map(torch.zeros_like(counts), 5, 7).unique(dim=0).shape[0] == 1


def test_walkers_are_drawn_where_they_live() -> None:
    yx = torch.tensor([[10.5, 20.5], [0.0, 127.9], [torch.nan, torch.nan]])
    picture = with_walkers(torch.ones(HEIGHT, WIDTH, 3), yx, torch.tensor([0.5, 0.1, 0.9]))
    changed = (picture - 0.4).abs().amax(-1) > 0.01
    assert changed[9:12, 19:22].all()
    assert changed[:2, -2:].all()
    assert changed.sum() == 9 + 4


def test_colours_without_any_error_are_those_of_none() -> None:
    assert error_colours(torch.zeros(0)).shape == (0, 3)
    torch.testing.assert_close(error_colours(torch.tensor([torch.nan, 0.0])), error_colours(torch.zeros(2)))


@pytest.mark.parametrize(("colour", "expected"), [([0.2, 0.4, 0.6, 0.5], [0.6, 0.7, 0.8]), ([0.2, 0.4, 0.6], None)])
def test_transparent_pixels_are_laid_over_white(colour: list[float], expected: list[float] | None) -> None:
    picture = over_white(torch.tensor([[colour]]))
    torch.testing.assert_close(picture, torch.tensor([[expected or colour]]))
