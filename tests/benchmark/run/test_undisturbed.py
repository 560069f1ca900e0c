"""Training goes on after an evaluation as if there had been none."""

import copy
import math
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor

from softmining_nerfstudio.benchmark.run.configuration import parse
from softmining_nerfstudio.benchmark.run.evaluation import HeldOutPixels, undisturbed
from softmining_nerfstudio.training import random_state
from softmining_nerfstudio.training.perceptual import lazy_lpips
from softmining_nerfstudio.training.rendering import blended


def numbers() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_random_numbers_mode_and_counters_are_as_before() -> None:
    modes: list[str] = []
    sampler = SimpleNamespace(_steps_since_update=3)
    pipeline = SimpleNamespace(
        model=SimpleNamespace(proposal_sampler=sampler),
        eval=lambda: modes.append("eval"),
        train=lambda: modes.append("train"),
    )
    before = random_state.capture()
    expected = numbers()
    random_state.restore(before)
    with undisturbed(pipeline):
        assert not torch.is_grad_enabled()
        assert modes == ["eval"]
        numbers()
        sampler._steps_since_update = 0
    assert numbers() == expected
    assert sampler._steps_since_update == 3
    assert modes == ["eval", "train"]
    assert torch.is_grad_enabled()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """So that sums are always in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_training_does_not_depend_on_how_often_it_is_measured(blender_scene: Path) -> None:
    data = ("blender-data", "--data", str(blender_scene))
    config = parse(["softmining-lite", "--pipeline.datamanager.train-num-rays-per-batch", "64", *data]).pipeline
    often, seldom = train(config, every=2), train(config, every=7)
    assert often.keys() == seldom.keys()
    assert all(torch.equal(often[name], seldom[name]) for name in often)


def train(config: Any, every: int) -> dict[str, Tensor]:
    """A tiny model after 14 steps: enough that its proposal networks are no longer updated at every one."""
    random.seed(1)
    torch.manual_seed(1)
    with lazy_lpips():
        pipeline = copy.deepcopy(config).setup(device="cpu", test_mode="test")
    dataset, model = pipeline.datamanager.eval_dataset, pipeline.model
    held_out = HeldOutPixels.draw(dataset, 50, partial(blended, model))
    optimizer = torch.optim.Adam(pipeline.parameters(), 1e-2)
    attributes = TrainingCallbackAttributes(None, None, pipeline, None)  # type: ignore[arg-type]
    callbacks = model.get_training_callbacks(attributes)

    def call(step: int, location: TrainingCallbackLocation) -> None:
        for callback in callbacks:
            callback.run_callback_at_location(step, location)

    pipeline.train()
    for step in range(14):
        call(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        optimizer.zero_grad()
        sum(pipeline.get_train_loss_dict(step)[1].values()).backward()
        optimizer.step()
        call(step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
        if (step + 1) % every == 0:
            with undisturbed(pipeline):
                assert math.isfinite(held_out.psnr(model))
                model.get_outputs_for_camera(dataset.cameras[:1])
    return {name: value.detach() for name, value in model.named_parameters()}
