"""What every way of choosing rays must do."""

import copy

import pytest
import torch
from drawing import ALL, HEIGHT, WIDTH, N, rgba, run, setting

from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import Sobel
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed
from softmining_nerfstudio.mining.strategies.error_map import FIRST_PERIOD, ErrorMap
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.walks import Langevin


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_as_many_pixels_as_asked_for_are_drawn_within_their_images(make, count, generator):
    strategy, images = setting(make, generator)
    slot, yx = run(strategy, images, 3, count)
    assert len(slot) == len(yx) == 3 * count
    assert ((yx >= 0) & (yx < torch.tensor([HEIGHT, WIDTH]))).all()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("packed", [False, True])
def test_masked_pixels_and_empty_images_are_never_drawn(make, packed, generator):
    masks, pixels = torch.rand((N, HEIGHT, WIDTH, 1), generator=generator) < 0.3, rgba(generator)
    masks[2] = False
    drawn_from = (Packed.move([*pixels]), Packed.move([*masks])) if packed else (pixels, masks)
    strategy, images = setting(make, generator, pixels=drawn_from[0], masks=drawn_from[1])
    slot, yx = run(strategy, images, FIRST_PERIOD + 3 if make is ErrorMap else 5)
    row, column = yx.long().unbind(-1)
    assert masks[slot, row, column].all()


@pytest.mark.parametrize("make", ALL)
def test_a_strategy_goes_on_from_its_state(make, generator):
    one, images = setting(make, generator)
    run(one, images, FIRST_PERIOD + 4 if make is ErrorMap else 4)
    other = make(one.densities, torch.Generator())
    other.load_state(one.state())
    other.generator.set_state(one.generator.get_state())
    for expected, found in zip(run(one, images, 3), run(other, images, 3), strict=True):
        assert torch.equal(found, expected)


def tensors_of(thing, name=""):
    """The tensors that a strategy holds, except those of the densities: they are worked out once and for all."""
    for key, value in vars(thing).items():
        if isinstance(value, torch.Tensor):
            yield f"{name}.{key}", value
        elif hasattr(value, "__dict__") and not isinstance(value, (Densities, Images)) and not callable(value):
            yield from tensors_of(value, f"{name}.{key}")


@pytest.mark.parametrize("make", ALL)
def test_drawing_changes_no_tensor_of_a_strategy_in_place(make, generator):
    """The contract of the base class: a shallow copy from before a draw is the strategy as it was."""
    strategy, images = setting(make, generator, masks=torch.rand((N, HEIGHT, WIDTH, 1), generator=generator) < 0.5)
    run(strategy, images, FIRST_PERIOD + 1 if make is ErrorMap else 2)
    for count in (100, 3000):  # the second one needs more walkers
        before, values = copy.copy(strategy), {}
        for name, tensor in tensors_of(before):
            values[name] = tensor.clone()
        random = strategy.generator.get_state()
        drawn = strategy.draw(images, count)
        for name, tensor in tensors_of(before):
            torch.testing.assert_close(tensor, values[name], rtol=0, atol=0, equal_nan=True)
        strategy.generator.set_state(random)
        for one, two in zip(before.draw(images, count), drawn, strict=True):
            assert torch.equal(one, two)
        run(strategy, images, 1)


def test_only_drift_needs_the_score(generator):
    assert not any(setting(make, generator)[0].needs_score for make in ALL)
    assert Walking(Densities(1, Sobel()), generator, Langevin(drift=1.0), edge_rays=False).needs_score
