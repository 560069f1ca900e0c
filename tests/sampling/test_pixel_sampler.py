"""The sampler between nerfstudio's image batches and the walkers."""

import copy
import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.mining.recipes import SAMPLING_TYPES
from softmining_nerfstudio.mining.strategies.spread import SpreadEstimate
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.walks import Langevin
from softmining_nerfstudio.sampling import pixel_sampler
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig

IMAGES, HEIGHT, WIDTH = 6, 20, 30


def image_batch(images: int = IMAGES, **more: torch.Tensor) -> dict:
    """Noise images whose ids are not their slots, as nerfstudio's shuffled cache has them."""
    pixels = torch.rand((images, HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(1))
    return {"image_idx": torch.arange(images).flip(0), "image": pixels, **more}


def sampler(
    rays: int = 60, images: int = IMAGES, draws_ahead: bool = False, **options: object
) -> SoftMiningPixelSampler:
    """One that mines from the first step on, unless the options say otherwise."""
    config = SoftMiningPixelSamplerConfig(**{"warmup_steps": 0, **options})  # type: ignore[arg-type]
    names = [f"{i}.png" for i in range(images)]
    return config.setup(image_names=names, num_rays_per_batch=rays, draws_ahead=draws_ahead)


def train(
    miner: SoftMiningPixelSampler, batch: dict, steps: int, error_at: Callable | None = None, start: int = 0
) -> list[dict]:
    """Mine, report an error and back-propagate, as a training loop would."""
    batches = []
    for step in range(start, start + steps):
        mined, yx = miner.mine(batch, step)
        if mined["feedback"] is not None:
            target = mined["image"][:, :3]
            scale = torch.ones((), requires_grad=True)  # a model of one parameter
            predicted = target + 0.1 * scale * torch.sin(yx).sum(-1, keepdim=True)
            if error_at is not None:
                predicted = target + scale * error_at(mined["indices"])[:, None]
            loss = mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), target, predicted)
            loss.backward()
        batches.append(mined)
    return batches


@pytest.mark.parametrize("sampling_type", [name for name in SAMPLING_TYPES if not name.startswith("foreground")])
def test_colours_are_those_of_the_named_pixels(sampling_type: str) -> None:
    batch = image_batch()
    for mined in train(sampler(sampling_type=sampling_type, coverage=0.0), batch, 5):
        image, row, column = mined["indices"].unbind(-1)
        assert len(mined["image"]) == 60
        torch.testing.assert_close(mined["image"], batch["image"][IMAGES - 1 - image, row, column])


def test_every_key_of_the_image_batch_follows_the_mined_pixels() -> None:
    depth = torch.rand(IMAGES, HEIGHT, WIDTH, 1)
    for mined in train(sampler(), image_batch(depth_image=depth), 3):
        image, row, column = mined["indices"].unbind(-1)
        torch.testing.assert_close(mined["depth_image"], depth[IMAGES - 1 - image, row, column])


def test_colours_are_means_over_footprints_until_rays_have_covered_an_image() -> None:
    """3 rays for each of 600 pixels: with 60 a step, a side of 5.5 pixels at first and of one from step 30 on."""
    batch = image_batch()  # noise between 0 and 1
    batches = train(sampler(coverage=3.0), batch, 31)
    assert batches[0]["image"].std() < 0.15
    assert batches[10]["image"].std() > batches[0]["image"].std() * 1.2
    image, row, column = batches[30]["indices"].unbind(-1)
    torch.testing.assert_close(batches[30]["image"], batch["image"][IMAGES - 1 - image, row, column])


def test_footprints_are_narrower_the_less_of_the_images_the_error_is_on() -> None:
    """3 rays for each of 600 pixels, in a batch of 600: a side of 1.6 pixels, or of less than one."""
    batch, colours = image_batch(), {}
    for walkers in (1.0, 20.0):
        miner = sampler(rays=600, coverage=3.0)
        assert isinstance(miner.miner.strategy, Walking)
        miner.miner.strategy.spread_estimate = SpreadEstimate(torch.tensor([1.0, walkers]))
        mined, _ = miner.mine(batch, 0)
        image, row, column = mined["indices"].unbind(-1)
        colours[walkers] = (mined["image"] == batch["image"][IMAGES - 1 - image, row, column]).all(-1)
    assert colours[20.0].all()
    assert colours[1.0].float().mean() < 0.1


def test_only_training_batches_and_only_colours_have_footprints() -> None:
    depth = torch.rand(IMAGES, HEIGHT, WIDTH, 1)
    batch, miner = image_batch(depth_image=depth), sampler()
    for drawn, is_plain in ((miner.mine(batch, 0)[0], False), (miner.sample(batch), True)):
        image, row, column = drawn["indices"].unbind(-1)
        torch.testing.assert_close(drawn["depth_image"], depth[IMAGES - 1 - image, row, column])
        assert torch.equal(drawn["image"], batch["image"][IMAGES - 1 - image, row, column]) == is_plain


def test_another_measure_of_edges_takes_effect_while_training() -> None:
    """A step in brightness: rays are beside it, as far as contrast reaches, or on the two columns next to it."""
    pixels = (torch.arange(200) >= 100).float().expand(1, 200, 200)[..., None].expand(1, 200, 200, 3).contiguous()
    batch, shares = {"image_idx": torch.zeros(1, dtype=torch.long), "image": pixels}, {}
    miner = sampler(rays=2000, images=1, sampling_type="edges", uniform_fraction=0.0)
    train(miner, batch, 2)
    for measure in ("contrast", "sobel"):
        miner.reconfigure(replace(miner.config, edges_by=measure))
        column = train(miner, batch, 1)[0]["indices"][:, 2]
        shares[measure] = float(((column == 99) | (column == 100)).float().mean())
    assert shares["contrast"] < 0.5 < 0.65 < shares["sobel"]


def test_footprints_narrow_with_the_rays_that_were_drawn_whatever_their_number_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    miner, batch, rays = sampler(), image_batch(), 0
    for now, processes in ((60, 1), (600, 1), (60, 1), (60, 3)):
        monkeypatch.setattr(pixel_sampler.comms, "get_world_size", lambda processes=processes: processes)
        miner.set_num_rays_per_batch(now)
        train(miner, batch, 1)
        rays += now * processes
        assert miner.miner.rays_so_far == rays


def test_footprints_go_on_after_a_checkpoint() -> None:
    miner, batch = sampler(coverage=3.0), image_batch()
    train(miner, batch, 31)
    other = sampler(coverage=3.0)
    other.load_state(miner.state())
    mined, _ = other.mine(batch, 31)
    image, row, column = mined["indices"].unbind(-1)
    torch.testing.assert_close(mined["image"], batch["image"][IMAGES - 1 - image, row, column])


def test_without_footprints_no_random_number_is_spent_on_them() -> None:
    """Or the other sampling types would draw other pixels than without this feature."""
    late, never = (sampler(coverage=coverage) for coverage in (3.0, 0.0))
    for miner in (late, never):
        miner.miner.rays_so_far = 10**6
        miner.mine(image_batch(), 0)
    assert torch.equal(late.miner.generator.get_state(), never.miner.generator.get_state())


def test_an_unknown_measure_of_edges_is_refused() -> None:
    with pytest.raises(ValueError, match=r"edges_by is 'canny'; expected one of \('sobel', 'contrast'\)"):
        sampler(edges_by="canny")


def test_a_coverage_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coverage is -1\.0; expected a finite number of rays per pixel, at least 0"):
        sampler(coverage=-1.0)


def test_rays_go_through_pixel_centres_and_ask_for_a_gradient_only_with_drift() -> None:
    for drift in (0.0, 1.0):
        mined, yx = sampler(sampling_type="lmc", langevin=Langevin(drift=drift)).mine(image_batch(), 0)
        torch.testing.assert_close(yx.detach(), mined["indices"][:, 1:] + 0.5)
        assert yx.requires_grad == (drift > 0)
        assert yx.is_leaf


def test_walkers_gather_where_the_error_is() -> None:
    miner = sampler(rays=300, sampling_type="lmc", langevin=Langevin(drift=0.0, noise=0.3))
    last = train(miner, image_batch(), 60, lambda indices: 0.5 * (indices[:, 2] < 10) + 1e-3)[-1]
    assert (last["indices"][:, 2] < 10).float().mean() > 0.6  # a third of the columns


def test_the_uniform_share_covers_all_images() -> None:
    miner = sampler(rays=400, uniform_fraction=1.0)
    counts = torch.bincount(miner.mine(image_batch(), 0)[0]["indices"][:, 0], minlength=IMAGES)
    assert counts.min() > 400 / IMAGES / 2


@pytest.mark.parametrize("sampling_type", SAMPLING_TYPES)
def test_with_every_sampling_type_batches_can_be_uniform_alone(sampling_type: str) -> None:
    batch = image_batch()
    batch["image"] = torch.cat([batch["image"], torch.ones(IMAGES, HEIGHT, WIDTH, 1)], -1)  # foreground needs RGBA
    miner = sampler(sampling_type=sampling_type, uniform_fraction=1.0)
    assert [len(mined["indices"]) for mined in train(miner, batch, 5)] == [60] * 5


def test_walkers_take_over_from_uniform_rays() -> None:
    miner, batch = sampler(warmup_steps=10, edge_rays=False), image_batch()
    placed = []
    for step in range(11):
        mined, yx = miner.mine(batch, step)
        mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), mined["image"], mined["image"] + 0.1)
        assert len(yx) == 60
        placed.append(int(miner.walkers.yx.isfinite().all(-1).sum()))
    assert placed[0] == 30
    assert placed[1] >= 33
    assert placed[10] >= 54


def test_more_images_than_rays_share_the_batch() -> None:
    batches = train(sampler(rays=10, images=50), image_batch(50), 40)
    assert all(len(batch["image"]) == 10 for batch in batches)
    assert len(torch.cat([batch["indices"][:, 0] for batch in batches]).unique()) == 50


def test_the_number_of_rays_may_change_between_steps() -> None:
    miner, batch = sampler(), image_batch()
    for rays in (60, 200, 7, 1, 300):
        miner.set_num_rays_per_batch(rays)
        assert len(train(miner, batch, 2)[-1]["image"]) == rays


def test_images_that_went_out_keep_their_walkers() -> None:
    miner, batch = sampler(rays=60), image_batch()
    first, second = halves(batch)
    train(miner, first, 5)
    miner.settle()
    before = miner.miner.strategy.walkers.yx[first["image_idx"]]
    train(miner, second, 5)
    miner.settle()
    torch.testing.assert_close(
        miner.miner.strategy.walkers.yx[first["image_idx"]][:, : before.shape[1]], before, equal_nan=True
    )


def halves(batch: dict) -> list[dict]:
    """The images of a batch, as two batches."""
    return [{key: value[part] for key, value in batch.items()} for part in (slice(0, 3), slice(3, 6))]


@pytest.mark.parametrize("sampling_type", [name for name in SAMPLING_TYPES if not name.startswith("foreground")])
def test_batches_drawn_ahead_are_those_drawn_in_time(sampling_type: str) -> None:
    """Whatever comes in between: other images, fewer rays, a checkpoint, a step that is skipped, other settings."""
    batch = image_batch()
    either = {
        ahead: sampler(sampling_type=sampling_type, draws_ahead=ahead, warmup_steps=20) for ahead in (False, True)
    }
    drawn: dict[bool, list[dict]] = {}
    states = {}
    for ahead, miner in either.items():
        batches = train(miner, batch, 5)
        for images in halves(batch) * 2:
            batches += train(miner, images, 2, start=5)
        miner.set_num_rays_per_batch(40)
        batches += train(miner, batch, 3, start=9)
        states[ahead] = copy.deepcopy(miner.state())
        batches += train(miner, batch, 3, start=13)
        miner.reconfigure(replace(miner.config, uniform_fraction=0.5))
        drawn[ahead] = batches + train(miner, batch, 3, start=16)
    for one, two in zip(drawn[False], drawn[True], strict=True):
        assert torch.equal(one["indices"], two["indices"])
        torch.testing.assert_close(one["image"], two["image"])
    torch.testing.assert_close(states[False], states[True], equal_nan=True)


@pytest.mark.parametrize("sampling_type", ["dmc", "lmc", "error-map"])
def test_the_next_batch_is_begun_in_the_backward_pass(sampling_type: str) -> None:
    """Once the loss is known, or the score where the walk follows it."""
    miner, batch = sampler(sampling_type=sampling_type, draws_ahead=True), image_batch()
    for step in range(4):
        mined, yx = miner.mine(batch, step)
        assert not miner.ahead.begun
        predicted = mined["image"] + 0.1 * torch.ones((), requires_grad=True) * yx.sin().sum(-1, keepdim=True)
        mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), mined["image"], predicted).backward()
        assert miner.ahead.begun


def test_statistics_are_of_the_batch_in_flight_though_the_next_is_drawn() -> None:
    either = [sampler(draws_ahead=ahead) for ahead in (False, True)]
    for miner in either:
        train(miner, image_batch(), 3)
    assert either[0].statistics() == either[1].statistics() != {}


def test_an_error_while_a_batch_is_drawn_ahead_is_raised_where_it_is_asked_for() -> None:
    miner, batch = sampler(draws_ahead=True), image_batch()
    train(miner, batch, 1, lambda indices: indices[:, 0] * torch.nan)
    with pytest.raises(FloatingPointError, match="Resume from the last checkpoint"):
        miner.mine(batch, 1)


@pytest.mark.parametrize("sampling_type", ["dmc", "lmc"])
@pytest.mark.parametrize("draws_ahead", [False, True])
def test_nothing_keeps_the_images_of_a_sampler_that_is_no_longer_used(sampling_type: str, draws_ahead: bool) -> None:
    miner, batch = sampler(sampling_type=sampling_type, draws_ahead=draws_ahead), image_batch()
    train(miner, batch, 3)
    miner.settle()
    pixels = weakref.ref(batch["image"])
    del miner, batch
    for _ in range(100):  # the thread lets go of its work a moment after that is done
        gc.collect()
        if pixels() is None:
            return
        time.sleep(0.02)
    pytest.fail("something keeps the images")


def test_a_number_of_rays_set_after_the_loss_counts_for_the_batch_drawn_ahead() -> None:
    """As nerfstudio's DynamicBatchPipeline (instant-ngp) sets it, between forward and backward pass."""
    miner, batch = sampler(draws_ahead=True), image_batch()
    expected = 60
    for step, rays in enumerate((60, 40, 90, 90)):
        mined, yx = miner.mine(batch, step)
        assert len(mined["image"]) == expected
        predicted = mined["image"] + 0.1 * torch.ones((), requires_grad=True) * yx.sin().sum(-1, keepdim=True)
        loss = mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), mined["image"], predicted)
        miner.set_num_rays_per_batch(rays)
        loss.backward()
        expected = rays


def test_images_of_mixed_sizes_are_mined() -> None:
    pixels = [torch.rand(20, 30, 3), torch.rand(41, 17, 3), torch.rand(3, 5, 3)]
    batch = {
        "image_idx": torch.tensor([2, 0, 1]),
        "image": pixels,
        "mask": [torch.ones(*p.shape[:2], 1) for p in pixels],
    }
    slot_of = {2: 0, 0: 1, 1: 2}
    for mined in train(sampler(images=3, coverage=0.0), batch, 10):
        for colour, (image, row, column) in zip(mined["image"], mined["indices"].tolist(), strict=True):
            torch.testing.assert_close(colour, pixels[slot_of[image]][row, column])


def test_masked_pixels_are_never_drawn() -> None:
    mask = torch.zeros(IMAGES, HEIGHT, WIDTH, 1, dtype=torch.bool)
    mask[0, 3, 4] = mask[1:, 5:9, 10:] = True
    for mined in train(sampler(rays=200), image_batch(mask=mask), 20):
        assert mined["mask"].all()
    assert sampler(rays=200).sample(image_batch(mask=mask))["mask"].all()


def test_an_image_with_an_empty_mask_is_skipped_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    mask = torch.ones(IMAGES, HEIGHT, WIDTH, 1)
    mask[2] = 0
    batches = train(sampler(), image_batch(mask=mask), 4)
    assert not any((batch["indices"][:, 0] == IMAGES - 1 - 2).any() for batch in batches)
    assert capsys.readouterr().out.count("mask is empty: 3.png") == 1


def test_nothing_but_empty_masks_is_an_error() -> None:
    with pytest.raises(ValueError, match="masks of all 6 loaded images are empty"):
        sampler().mine(image_batch(mask=torch.zeros(IMAGES, HEIGHT, WIDTH, 1)), 0)


def test_the_config_is_never_written_to() -> None:
    config = SoftMiningPixelSamplerConfig(num_rays_per_batch=5)
    before = copy.deepcopy(config)
    config.setup(image_names=["a"], num_rays_per_batch=7, is_equirectangular=True).set_num_rays_per_batch(9)
    assert config == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampler(sampling_type="nuts"), "'nuts' is unknown; expected one of"),
        (lambda: sampler(rays=0), "0 rays per batch; expected at least 1"),
        (lambda: sampler(images=0), "no images"),
        (lambda: SoftMiningPixelSamplerConfig().setup(num_rays_per_batch=4), "use SoftMiningDataManagerConfig"),
        (lambda: Importance(alpha=1.5), "alpha is 1.5; expected 0"),
        (lambda: sampler(uniform_fraction=-0.1), "uniform_fraction is -0.1; expected a fraction"),
        (lambda: sampler(warmup_steps=-1), "warmup_steps is -1; expected at least 0"),
        (lambda: Langevin(respawn_fraction=1.1), "respawn_fraction is 1.1; expected a fraction"),
    ],
)
def test_bad_settings_are_named(make: Callable, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_model_that_does_not_report_is_an_error() -> None:
    miner = sampler()
    miner.mine(image_batch(), 0)
    with pytest.raises(RuntimeError, match="did not report"):
        miner.mine(image_batch(), 1)


def test_rays_without_a_finite_colour_are_said_and_restart_their_walkers(capsys: pytest.CaptureFixture[str]) -> None:
    miner = sampler()
    train(miner, image_batch(), 1, lambda indices: torch.where(indices[:, 0] == 0, torch.nan, 0.1))
    miner.settle()
    assert "had no finite colour" in capsys.readouterr().out
    assert miner.miner.strategy.walkers.yx[0].isnan().all()


def test_a_batch_without_any_finite_colour_stops_the_training() -> None:
    miner = sampler()
    train(miner, image_batch(), 1, lambda indices: indices[:, 0] * torch.nan)
    with pytest.raises(FloatingPointError, match="Resume from the last checkpoint"):
        miner.settle()


def test_a_restored_sampler_goes_on_with_the_same_batches() -> None:
    miner, batch = sampler(), image_batch()
    train(miner, batch, 5)
    state = copy.deepcopy(miner.state())
    expected = train(miner, batch, 5)
    other = sampler()
    other.load_state(state)
    for one, two in zip(expected, train(other, batch, 5), strict=True):
        assert torch.equal(one["indices"], two["indices"])


@pytest.mark.parametrize(
    ("saved", "line"),
    [
        (lambda: sampler(rays=12), "batches had 12 rays: going on with batches of 60"),
        (lambda: sampler(sampling_type="uniform"), "sampling was uniform: starting dmc anew"),
        (lambda: sampler(images=4), "is for 4 images, not 6"),
    ],
)
def test_a_checkpoint_that_fits_in_part_is_used_with_one_line(
    saved: Callable, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = saved()
    train(before, image_batch(len(before.image_names)), 2)
    miner = sampler()
    miner.load_state(before.state())
    printed = capsys.readouterr().out
    assert line in printed
    assert printed.count("\n") == 1
    assert len(train(miner, image_batch(), 3)[-1]["image"]) == 60


def test_statistics_describe_the_batch_in_flight() -> None:
    miner = sampler(importance=Importance(alpha=0.5, alpha_warmup_steps=0))
    assert miner.statistics() == {}
    train(miner, image_batch(), 3, lambda indices: torch.full((60,), 0.25))
    numbers = {name: float(value) for name, value in miner.statistics().items()}
    assert numbers["Mean Error"] == pytest.approx(0.25)
    assert numbers["Effective Samples"] == pytest.approx(1)
    assert numbers["Alpha"] == 0.5
    assert 0.09 < numbers["Redrawn"] < 0.6


def test_uniform_sampling_mines_nothing() -> None:
    miner = sampler(sampling_type="uniform")
    assert train(miner, image_batch(), 2)[-1]["feedback"] is None
    assert miner.statistics() == {}


SHAPES = [(20, 30), (41, 17), (3, 5)]


def mixed_batch(generator: torch.Generator) -> dict:
    """Images of mixed sizes, collated as nerfstudio's variable_res_collate does, with a stray key for each image."""
    batch: dict = {
        "image_idx": torch.tensor([2, 0, 1]),
        "image": [torch.rand(*s, 3, generator=generator) for s in SHAPES],
    }
    batch["mask"] = [torch.rand(*s, 1, generator=generator) < 0.5 for s in SHAPES]
    batch["depth_image"] = [torch.rand(*s, 1, generator=generator) for s in SHAPES]
    batch["semantics"] = [torch.randint(9, (*s, 1), generator=generator) for s in SHAPES]
    return {
        **batch,
        "focal": torch.rand(3, generator=generator),
        "path": ["a", "b", "c"],
        "latent": torch.rand(3, 8, 8),
    }


@pytest.mark.parametrize("sampling_type", [name for name in SAMPLING_TYPES if not name.startswith("foreground")])
def test_masks_depth_and_semantics_of_mixed_sizes_follow_the_pixels(sampling_type: str) -> None:
    batch = mixed_batch(torch.Generator().manual_seed(0))
    copies = {key: [value.clone() for value in batch[key]] for key in ("image", "mask", "depth_image", "semantics")}
    slot_of = {2: 0, 0: 1, 1: 2}
    for mined in train(sampler(images=3, sampling_type=sampling_type, coverage=0.0), batch, 8):
        assert {"focal", "path", "latent", "image_idx"}.isdisjoint(mined)
        assert mined["mask"].all()
        for key, values in copies.items():
            named = [values[slot_of[i]][r, c] for i, r, c in mined["indices"].tolist()]
            assert torch.equal(mined[key], torch.stack(named))


def test_mixed_sizes_are_packed_once_and_not_held_twice() -> None:
    batch, miner = mixed_batch(torch.Generator().manual_seed(0)), sampler(images=3)
    train(miner, batch, 1)
    storage = batch["image"][0].untyped_storage().data_ptr()
    train(miner, dict(batch), 3)
    assert {image.untyped_storage().data_ptr() for image in batch["image"]} == {storage}


def test_a_mask_that_does_not_fit_its_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="masks do not have the size"):
        sampler().mine(image_batch(mask=torch.ones(IMAGES, HEIGHT, WIDTH + 1, 1)), 0)


def test_ignored_masks_are_carried_along_but_hide_nothing() -> None:
    mask = torch.zeros(IMAGES, HEIGHT, WIDTH, 1, dtype=torch.bool)
    (mined,) = train(sampler(ignore_mask=True), image_batch(mask=mask), 1)
    assert mined["mask"].shape == (60, 1)


@pytest.mark.parametrize("background", [0.0, 0.3, 1.0])
def test_images_with_transparency_keep_their_alpha(background: float) -> None:
    pixels = torch.rand(IMAGES, HEIGHT, WIDTH, 4)
    pixels[..., 3] = (pixels[..., 3] > 0.5).float()
    batch = {**image_batch(), "image": pixels}
    miner = sampler(coverage=0.0)
    for step in range(5):
        mined, _ = miner.mine(batch, step)
        image, row, column = mined["indices"].unbind(-1)
        assert torch.equal(mined["image"], pixels[IMAGES - 1 - image, row, column])
        colour, alpha = mined["image"][:, :3], mined["image"][:, 3:]
        over = colour * alpha + background * (1 - alpha)
        mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), over, over + 0.1)


@pytest.mark.parametrize("masked", [False, True])
def test_mined_rays_never_leave_the_fisheye_circle(masked: bool) -> None:
    mask = {"mask": torch.rand(IMAGES, HEIGHT, WIDTH, 1) < 0.5} if masked else {}
    miner, radius = sampler(rays=300), 8.0
    miner.config.fisheye_crop_radius = radius
    for mined in train(miner, image_batch(**mask), 40):
        _, row, column = mined["indices"].unbind(-1)
        assert ((row + 0.5 - HEIGHT // 2) ** 2 + (column + 0.5 - WIDTH // 2) ** 2 <= radius**2).all()
        assert not masked or mined["mask"].all()


def test_uniform_rays_of_panoramas_are_uniform_on_the_sphere() -> None:
    miner = SoftMiningPixelSamplerConfig().setup(image_names=["a"], num_rays_per_batch=8000, is_equirectangular=True)
    batch = {"image_idx": torch.zeros(1, dtype=torch.long), "image": torch.rand(1, 64, 128, 3)}
    for drawn in (miner.sample(batch), miner.mine(batch, 0)[0]):
        shares = drawn["indices"][:, 1].bincount(minlength=64).view(8, 8).sum(1) / 8000
        polar = torch.linspace(0, torch.pi, 9)
        torch.testing.assert_close(shares, (polar[:-1].cos() - polar[1:].cos()) / 2, atol=0.02, rtol=0)


def test_an_image_that_comes_back_has_its_densities_and_walkers() -> None:
    miner, mask = sampler(rays=60), torch.rand(IMAGES, HEIGHT, WIDTH, 1) < 0.5
    batch = image_batch(mask=mask)
    first, second = halves(batch)
    train(miner, first, 5)
    miner.settle()
    ids = first["image_idx"]
    before = (
        miner.miner.strategy.walkers.yx[ids],
        miner.miner.densities.edges.cells[ids],
        miner.miner.densities.share[ids],
    )
    train(miner, second, 5)
    miner.settle()
    after = (
        miner.miner.strategy.walkers.yx[ids],
        miner.miner.densities.edges.cells[ids],
        miner.miner.densities.share[ids],
    )
    for one, two in zip(before, after, strict=True):
        torch.testing.assert_close(one, two, equal_nan=True)
    assert all(mined["mask"].all() for mined in train(miner, first, 3))


def held(thing: object, seen: set[int]) -> int:
    """Bytes of all tensors that can be reached from here."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return thing.nelement() * thing.element_size()
    parts = vars(thing).values() if hasattr(thing, "__dict__") else thing.values() if isinstance(thing, dict) else ()
    return sum(held(part, seen) for part in (thing if isinstance(thing, (list, tuple)) else parts))


@pytest.mark.parametrize("masked", [False, True])
def test_the_sampler_keeps_a_few_kilobytes_an_image_at_any_resolution(masked: bool) -> None:
    pixels = torch.zeros(1).expand(3, 1500, 2000, 3)
    batch: dict = {"image_idx": torch.arange(3), "image": pixels}
    if masked:
        batch["mask"] = torch.rand(3, 1500, 2000, 1) < torch.tensor([1e-5, 0.5, 1]).view(3, 1, 1, 1)
    miner = sampler(images=3)
    train(miner, batch, 3)
    loaded = {id(value) for value in batch.values()}
    assert held(miner, loaded) < 3 * 10_000
