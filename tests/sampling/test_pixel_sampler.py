"""The adapter between nerfstudio and the miner: image batches, settings, messages, checkpoints."""

import copy
import gc
import re
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from softmining_nerfstudio.mining.recipes import SAMPLING_TYPES
from softmining_nerfstudio.mining.strategies.controls import Uniform
from softmining_nerfstudio.sampling import pixel_sampler
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig

IMAGES, HEIGHT, WIDTH = 6, 20, 30


def image_batch(images: int = IMAGES, **more: torch.Tensor) -> dict:
    """Noise images whose ids are not their slots, as nerfstudio's shuffled cache has them."""
    pixels = torch.rand((images, HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(1))
    return {"image_idx": torch.arange(images).flip(0), "image": pixels, **more}


def make_sampler(
    rays: int = 60, images: int = IMAGES, draws_ahead: bool = False, **options: object
) -> SoftMiningPixelSampler:
    """One that mines from the first step on, unless the options say otherwise."""
    config = SoftMiningPixelSamplerConfig(**{"warmup_steps": 0, **options})  # type: ignore[arg-type]
    names = [f"{i}.png" for i in range(images)]
    return config.setup(image_names=names, num_rays_per_batch=rays, draws_ahead=draws_ahead)


def train(
    sampler: SoftMiningPixelSampler, batch: dict, steps: int, error_at: Callable | None = None, start: int = 0
) -> list[dict]:
    """Mine, report an error and back-propagate, as a training loop would."""
    batches = []
    for step in range(start, start + steps):
        mined, yx = sampler.mine(batch, step)
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


def test_colours_are_those_of_the_named_pixels() -> None:
    batch = image_batch()
    for mined in train(make_sampler(coverage=0.0), batch, 5):
        image, row, column = mined["indices"].unbind(-1)
        assert len(mined["image"]) == 60
        torch.testing.assert_close(mined["image"], batch["image"][IMAGES - 1 - image, row, column])


def test_only_training_batches_and_only_colours_have_footprints() -> None:
    depth = torch.rand(IMAGES, HEIGHT, WIDTH, 1)
    batch, sampler = image_batch(depth_image=depth), make_sampler()
    for drawn, is_plain in ((sampler.mine(batch, 0)[0], False), (sampler.sample(batch), True)):
        image, row, column = drawn["indices"].unbind(-1)
        torch.testing.assert_close(drawn["depth_image"], depth[IMAGES - 1 - image, row, column])
        assert torch.equal(drawn["image"], batch["image"][IMAGES - 1 - image, row, column]) == is_plain


def test_footprints_narrow_with_the_rays_of_all_processes_whatever_their_number_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler, batch, rays = make_sampler(), image_batch(), 0
    for now, processes in ((60, 1), (600, 1), (60, 1), (60, 3)):
        monkeypatch.setattr(pixel_sampler.comms, "get_world_size", lambda processes=processes: processes)
        sampler.set_num_rays_per_batch(now)
        train(sampler, batch, 1)
        rays += now * processes
        assert sampler.miner.rays_so_far == rays


def test_the_number_of_rays_may_change_between_steps() -> None:
    sampler, batch = make_sampler(), image_batch()
    for rays in (60, 200, 7, 1, 300):
        sampler.set_num_rays_per_batch(rays)
        assert len(train(sampler, batch, 2)[-1]["image"]) == rays


def halves(batch: dict) -> list[dict]:
    """The images of a batch, as two batches."""
    return [{key: value[part] for key, value in batch.items()} for part in (slice(0, 3), slice(3, 6))]


@pytest.mark.parametrize("sampling_type", [name for name in SAMPLING_TYPES if not name.startswith("foreground")])
def test_batches_drawn_ahead_are_those_drawn_in_time(sampling_type: str) -> None:
    """Other images, fewer rays, a checkpoint, a skipped step and other settings come in between."""
    batch = image_batch()
    either = {
        ahead: make_sampler(sampling_type=sampling_type, draws_ahead=ahead, warmup_steps=20) for ahead in (False, True)
    }
    drawn: dict[bool, list[dict]] = {}
    states = {}
    for ahead, sampler in either.items():
        batches = train(sampler, batch, 5)
        for images in halves(batch) * 2:
            batches += train(sampler, images, 2, start=5)
        sampler.set_num_rays_per_batch(40)
        batches += train(sampler, batch, 3, start=9)
        states[ahead] = copy.deepcopy(sampler.state())
        batches += train(sampler, batch, 3, start=13)
        sampler.reconfigure(replace(sampler.config, uniform_fraction=0.5))
        drawn[ahead] = batches + train(sampler, batch, 3, start=16)
    for one, two in zip(drawn[False], drawn[True], strict=True):
        assert torch.equal(one["indices"], two["indices"])
        torch.testing.assert_close(one["image"], two["image"])
    torch.testing.assert_close(states[False], states[True], equal_nan=True)


@pytest.mark.parametrize("sampling_type", ["dmc", "lmc", "error-map"])
def test_the_next_batch_is_begun_in_the_backward_pass(sampling_type: str) -> None:
    """It begins once the loss is known, or the score where the walk follows it."""
    sampler, batch = make_sampler(sampling_type=sampling_type, draws_ahead=True), image_batch()
    for step in range(4):
        mined, yx = sampler.mine(batch, step)
        assert not sampler.in_flight.ahead.begun
        predicted = mined["image"] + 0.1 * torch.ones((), requires_grad=True) * yx.sin().sum(-1, keepdim=True)
        mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), mined["image"], predicted).backward()
        assert sampler.in_flight.ahead.begun


def test_settings_that_change_while_a_checkpoint_waits_do_not_mix_with_it() -> None:
    """The viewer changes them in a thread of its own. Here the thread that draws ahead takes its time."""
    sampler, drawing, slow = make_sampler(draws_ahead=True), threading.Event(), threading.Event()
    train(sampler, image_batch(), 3)
    batch, _ = sampler.mine(image_batch(), 3)
    draw = sampler.miner.draw
    sampler.miner.draw = lambda *arguments: (drawing.set(), slow.wait(), draw(*arguments))[-1]  # type: ignore[method-assign]
    predicted = batch["image"].clone().requires_grad_()
    batch["feedback"].correct(lambda t, p: (t - p).abs().mean(-1), batch["image"], predicted).backward()
    assert drawing.wait(10)
    states: list[dict] = []
    saving = threading.Thread(target=lambda: states.append(sampler.state()))
    saving.start()
    time.sleep(0.1)
    changing = threading.Thread(target=sampler.reconfigure, args=(replace(sampler.config, sampling_type="uniform"),))
    changing.start()
    time.sleep(0.1)
    slow.set()
    for thread in (saving, changing):
        thread.join(10)
    assert [*states[0]["strategies"]] == ["dmc"]
    assert isinstance(sampler.miner.strategy, Uniform)
    assert {*sampler.state()["strategies"]} == {"dmc", "uniform"}


def test_statistics_are_of_the_batch_in_flight_though_the_next_is_drawn() -> None:
    either = [make_sampler(draws_ahead=ahead) for ahead in (False, True)]
    for sampler in either:
        train(sampler, image_batch(), 3)
    assert either[0].statistics() == either[1].statistics() != {}


def test_an_error_while_a_batch_is_drawn_ahead_is_raised_where_it_is_asked_for() -> None:
    sampler, batch = make_sampler(draws_ahead=True), image_batch()
    train(sampler, batch, 1, lambda indices: indices[:, 0] * torch.nan)
    with pytest.raises(FloatingPointError):
        sampler.mine(batch, 1)


@pytest.mark.parametrize("sampling_type", ["dmc", "lmc"])
@pytest.mark.parametrize("draws_ahead", [False, True])
def test_nothing_keeps_the_images_of_a_sampler_that_is_no_longer_used(sampling_type: str, draws_ahead: bool) -> None:
    sampler, batch = make_sampler(sampling_type=sampling_type, draws_ahead=draws_ahead), image_batch()
    train(sampler, batch, 3)
    sampler.in_flight.settle()
    pixels = weakref.ref(batch["image"])
    del sampler, batch
    for _ in range(100):  # the thread lets go of its work a moment after that is done
        gc.collect()
        if pixels() is None:
            return
        time.sleep(0.02)
    pytest.fail("something keeps the images")


def test_a_number_of_rays_set_after_the_loss_counts_for_the_batch_drawn_ahead() -> None:
    """nerfstudio's DynamicBatchPipeline (instant-ngp) sets it between forward and backward pass."""
    sampler, batch = make_sampler(draws_ahead=True), image_batch()
    expected = 60
    for step, rays in enumerate((60, 40, 90, 90)):
        mined, yx = sampler.mine(batch, step)
        assert len(mined["image"]) == expected
        predicted = mined["image"] + 0.1 * torch.ones((), requires_grad=True) * yx.sin().sum(-1, keepdim=True)
        loss = mined["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), mined["image"], predicted)
        sampler.set_num_rays_per_batch(rays)
        loss.backward()
        expected = rays


def test_masked_pixels_are_never_drawn() -> None:
    mask = torch.zeros(IMAGES, HEIGHT, WIDTH, 1, dtype=torch.bool)
    mask[0, 3, 4] = mask[1:, 5:9, 10:] = True
    for mined in train(make_sampler(rays=200), image_batch(mask=mask), 20):
        assert mined["mask"].all()
    assert make_sampler(rays=200).sample(image_batch(mask=mask))["mask"].all()


def test_an_image_with_an_empty_mask_is_skipped_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    mask = torch.ones(IMAGES, HEIGHT, WIDTH, 1)
    mask[2] = 0
    batches = train(make_sampler(), image_batch(mask=mask), 4)
    assert not any((batch["indices"][:, 0] == IMAGES - 1 - 2).any() for batch in batches)
    assert capsys.readouterr().out.count("3.png") == 1


def test_the_config_is_never_written_to() -> None:
    config = SoftMiningPixelSamplerConfig(num_rays_per_batch=5)
    before = copy.deepcopy(config)
    config.setup(image_names=["a"], num_rays_per_batch=7, is_equirectangular=True).set_num_rays_per_batch(9)
    assert config == before


@pytest.mark.parametrize(("name", "value"), [("sampling_type", "nuts"), ("edges_by", "canny")])
def test_an_unknown_name_is_refused_at_once(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        SoftMiningPixelSamplerConfig(**{name: value})  # type: ignore[arg-type]


def test_a_batch_has_at_least_one_ray() -> None:
    with pytest.raises(ValueError, match=r"^0 rays"):
        make_sampler(rays=0)


def test_a_data_set_has_at_least_one_image() -> None:
    with pytest.raises(ValueError, match="images"):
        make_sampler(images=0)


def test_a_model_that_does_not_report_is_an_error() -> None:
    sampler = make_sampler()
    sampler.mine(image_batch(), 0)
    with pytest.raises(RuntimeError, match=r"rgb_loss .*soft_mining\(config\)"):
        sampler.mine(image_batch(), 1)


def test_rays_without_a_finite_colour_are_counted_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    sampler = make_sampler()
    (mined,) = train(sampler, image_batch(), 1, lambda indices: torch.where(indices[:, 0] == 0, torch.nan, 0.1))
    sampler.in_flight.settle()
    broken = int((mined["indices"][:, 0] == 0).sum())
    assert capsys.readouterr().out.startswith(f"{broken} of 60 rays")


@pytest.mark.parametrize(
    ("saved", "line"),
    [
        (lambda: make_sampler(rays=12), r"\b12 rays\b.* 60\b"),
        (lambda: make_sampler(sampling_type="uniform"), r"\buniform\b.* dmc\b"),
        (lambda: make_sampler(images=4), r"\b4 images\b.* 6\b"),
    ],
)
def test_a_checkpoint_that_fits_in_part_is_used_with_one_line(
    saved: Callable, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = saved()
    train(before, image_batch(len(before.image_names)), 2)
    sampler = make_sampler()
    capsys.readouterr()  # the first to train compiles, and says so
    sampler.load_state(before.state())
    printed = capsys.readouterr().out
    assert re.search(line, printed)
    assert printed.count("\n") == 1
    assert len(train(sampler, image_batch(), 3)[-1]["image"]) == 60


def test_uniform_sampling_mines_nothing() -> None:
    sampler = make_sampler(sampling_type="uniform")
    assert train(sampler, image_batch(), 2)[-1]["feedback"] is None
    assert sampler.statistics() == {}


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


def test_masks_depth_and_semantics_of_mixed_sizes_follow_the_pixels() -> None:
    batch = mixed_batch(torch.Generator().manual_seed(0))
    copies = {key: [value.clone() for value in batch[key]] for key in ("image", "mask", "depth_image", "semantics")}
    slot_of = {2: 0, 0: 1, 1: 2}
    for mined in train(make_sampler(images=3, coverage=0.0), batch, 8):
        assert {"focal", "path", "latent", "image_idx"}.isdisjoint(mined)
        assert mined["mask"].all()
        for key, values in copies.items():
            named = [values[slot_of[i]][r, c] for i, r, c in mined["indices"].tolist()]
            assert torch.equal(mined[key], torch.stack(named))


def test_mixed_sizes_are_packed_once_and_not_held_twice() -> None:
    batch, sampler = mixed_batch(torch.Generator().manual_seed(0)), make_sampler(images=3)
    train(sampler, batch, 1)
    storage = batch["image"][0].untyped_storage().data_ptr()
    train(sampler, dict(batch), 3)
    assert {image.untyped_storage().data_ptr() for image in batch["image"]} == {storage}


def test_a_mask_that_does_not_fit_its_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="mask"):
        make_sampler().mine(image_batch(mask=torch.ones(IMAGES, HEIGHT, WIDTH + 1, 1)), 0)


def test_ignored_masks_are_carried_along_but_hide_nothing() -> None:
    mask = torch.zeros(IMAGES, HEIGHT, WIDTH, 1, dtype=torch.bool)
    (mined,) = train(make_sampler(ignore_mask=True), image_batch(mask=mask), 1)
    assert mined["mask"].shape == (60, 1)


def test_images_with_transparency_keep_their_alpha() -> None:
    pixels = torch.rand(IMAGES, HEIGHT, WIDTH, 4)
    pixels[..., 3] = (pixels[..., 3] > 0.5).float()
    batch = {**image_batch(), "image": pixels}
    for mined in train(make_sampler(coverage=0.0), batch, 5):
        image, row, column = mined["indices"].unbind(-1)
        assert torch.equal(mined["image"], pixels[IMAGES - 1 - image, row, column])


@pytest.mark.parametrize("masked", [False, True])
def test_mined_rays_never_leave_the_fisheye_circle(masked: bool) -> None:
    mask = {"mask": torch.rand(IMAGES, HEIGHT, WIDTH, 1) < 0.5} if masked else {}
    sampler, radius = make_sampler(rays=300), 8.0
    sampler.config.fisheye_crop_radius = radius
    for mined in train(sampler, image_batch(**mask), 40):
        _, row, column = mined["indices"].unbind(-1)
        assert ((row + 0.5 - HEIGHT // 2) ** 2 + (column + 0.5 - WIDTH // 2) ** 2 <= radius**2).all()
        assert not masked or mined["mask"].all()


def test_uniform_rays_of_panoramas_are_uniform_on_the_sphere() -> None:
    sampler = SoftMiningPixelSamplerConfig().setup(image_names=["a"], num_rays_per_batch=8000, is_equirectangular=True)
    batch = {"image_idx": torch.zeros(1, dtype=torch.long), "image": torch.rand(1, 64, 128, 3)}
    for drawn in (sampler.sample(batch), sampler.mine(batch, 0)[0]):
        shares = drawn["indices"][:, 1].bincount(minlength=64).view(8, 8).sum(1) / 8000
        polar = torch.linspace(0, torch.pi, 9)
        torch.testing.assert_close(shares, (polar[:-1].cos() - polar[1:].cos()) / 2, atol=0.02, rtol=0)


def held(thing: object, seen: set[int]) -> int:
    """Bytes of all tensors that this thing holds."""
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
    sampler = make_sampler(images=3)
    train(sampler, batch, 3)
    loaded = {id(value) for value in batch.values()}
    assert held(sampler, loaded) < 3 * 10_000
