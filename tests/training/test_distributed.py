"""Several processes under DistributedDataParallel: each mines its own rays, and all train one model."""

import copy
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from softmining_nerfstudio.images.keeping import KeepImages
from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.mining.walkers import Walkers

RANKS = 2
LIMIT = 150
"""Seconds after which the processes are killed, and the test has failed."""


def seed(rank: int) -> None:
    """As nerfstudio's train.py does in each process."""
    random.seed(42 + rank)
    np.random.seed(42 + rank)  # noqa: NPY002
    torch.manual_seed(42 + rank)


def make_pipeline(scene: Path, rank: int = 0, wrapped: bool = True) -> VanillaPipeline:
    """softmining-lite's pipeline, wrapped as VanillaPipeline wraps it, but for the GPU it would name."""
    config = copy.deepcopy(softmining_lite.config.pipeline)
    config.datamanager.dataparser = BlenderDataParserConfig(data=scene)
    config.datamanager.train_num_rays_per_batch = 48
    config.datamanager.images = KeepImages(folder=scene.parent / "tiles")
    config.model.num_proposal_samples_per_ray, config.model.num_nerf_samples_per_ray = (8, 8), 8
    config.model.log2_hashmap_size = 10
    seed(rank)
    pipeline = config.setup(device="cpu")
    if wrapped:
        pipeline._model = DistributedDataParallel(pipeline._model, find_unused_parameters=True)
    return pipeline.train()


def step(pipeline: VanillaPipeline, optimizer: torch.optim.Optimizer, number: int, loss_factor: float = 1.0) -> Any:
    """One training step; the pixels it went through."""
    seen = []
    sampler = pipeline.datamanager.train_pixel_sampler
    mine = sampler.mine
    sampler.mine = lambda *arguments: seen.append(mine(*arguments)) or seen[0]
    optimizer.zero_grad()
    losses = pipeline.get_train_loss_dict(number)[1]
    (loss_factor * sum(losses.values())).backward()
    optimizer.step()
    sampler.mine = mine
    return seen[0][0]["indices"]


def train(rank: int, scene: Path, folder: Path) -> None:
    """Train, write a checkpoint, go on; then resume from it. What happened goes into a file."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=60), world_size=RANKS, rank=rank
    )
    pipeline = make_pipeline(scene, rank)
    optimizer = torch.optim.Adam(pipeline.model.parameters(), lr=1e-2)
    assert not pipeline.datamanager.train_image_dataloader.kept.in_memory  # both map the same files
    record = {"pixels": [step(pipeline, optimizer, number) for number in range(3)]}

    sampler = pipeline.datamanager.train_pixel_sampler
    if rank == 1:  # every walker of this batch is redrawn, on this rank alone
        sampler.in_flight.settle()
        sampler.miner.strategy.walkers = Walkers.dead(*sampler.miner.strategy.walkers.error.shape)
    record["pixels"].append(step(pipeline, optimizer, 3))
    record["pixels"].append(step(pipeline, optimizer, 4, loss_factor=float(rank == 0)))  # no gradient on rank 1
    record["parameters"] = [parameter.detach().clone() for parameter in pipeline.model.parameters()]

    if rank == 0:
        torch.save(pipeline.state_dict(), folder / "checkpoint.pt")
    distributed.barrier()
    record["continued"] = step(pipeline, optimizer, 5)
    resumed = make_pipeline(scene, rank)
    resumed.load_pipeline(torch.load(folder / "checkpoint.pt"), 4)
    record["loaded"] = [parameter.detach().clone() for parameter in resumed.model.parameters()]
    optimizer = torch.optim.Adam(resumed.model.parameters(), lr=1e-2)
    record["resumed"] = [step(resumed, optimizer, number) for number in range(5, 7)]
    record["resumed parameters"] = [parameter.detach().clone() for parameter in resumed.model.parameters()]
    torch.save(record, folder / f"rank{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(blender_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes that trained together left their records and rank 0's checkpoint."""
    folder = tmp_path_factory.mktemp("distributed")
    multiprocessing.set_forkserver_preload(["softmining_nerfstudio.methods"])  # slow to import: once for both
    processes = multiprocessing.start_processes(
        train, (blender_scene, folder), nprocs=RANKS, join=False, start_method="forkserver"
    )
    deadline = time.monotonic() + LIMIT
    try:
        while not processes.join(timeout=1):
            assert time.monotonic() < deadline, f"two processes have not finished in {LIMIT} seconds"
    finally:
        for process in processes.processes:
            process.kill()
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict]:
    """What each of the processes saw."""
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(RANKS)]


def shared(one: torch.Tensor, two: torch.Tensor) -> float:
    """The share of pixels that two batches have in common."""
    return len({*map(tuple, one.tolist())} & {*map(tuple, two.tolist())}) / len(one)


def test_every_rank_mines_rays_of_its_own(ranks: list[dict]) -> None:
    for one, two in zip(ranks[0]["pixels"], ranks[1]["pixels"], strict=True):
        assert shared(one, two) < 0.3


def test_all_ranks_train_the_same_model(ranks: list[dict]) -> None:
    for key in ("parameters", "loaded", "resumed parameters"):
        for one, two in zip(ranks[0][key], ranks[1][key], strict=True):
            assert torch.equal(one, two), key


def test_rank_0_resumes_bit_for_bit(ranks: list[dict]) -> None:
    assert torch.equal(ranks[0]["resumed"][0], ranks[0]["continued"])
    for one, two in zip(ranks[0]["parameters"], ranks[0]["loaded"], strict=True):
        assert torch.equal(one, two)


def test_the_other_ranks_do_not_resume_rank_0s_chain(ranks: list[dict]) -> None:
    for one, two in zip(ranks[0]["resumed"], ranks[1]["resumed"], strict=True):
        assert shared(one, two) < 0.3


def test_a_checkpoint_of_several_processes_serves_one_process(
    folder: Path, blender_scene: Path, ranks: list[dict]
) -> None:
    checkpoint = torch.load(folder / "checkpoint.pt")
    assert "_model.module._extra_state" in checkpoint
    pipeline = make_pipeline(blender_scene, wrapped=False)
    pipeline.load_pipeline(checkpoint, 4)
    sampler = pipeline.model.proposal_sampler
    assert {"proposal_step": sampler._step, "proposal_steps_since_update": sampler._steps_since_update} == checkpoint[
        "_model.module._extra_state"
    ]
    assert torch.equal(step(pipeline, torch.optim.Adam(pipeline.model.parameters()), 5), ranks[0]["continued"])


def test_a_checkpoint_of_one_process_serves_several(blender_scene: Path, tmp_path: Path) -> None:
    saved = make_pipeline(blender_scene, wrapped=False)
    step(saved, torch.optim.Adam(saved.model.parameters()), 0)
    distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", world_size=1, rank=0)
    try:
        pipeline = make_pipeline(blender_scene, rank=1)
        pipeline.load_pipeline(saved.state_dict(), 0)
    finally:
        distributed.destroy_process_group()
    for one, two in zip(saved.model.parameters(), pipeline.model.parameters(), strict=True):
        assert torch.equal(one, two)
    expected, walkers = (
        saved.datamanager.train_pixel_sampler,
        pipeline.datamanager.train_pixel_sampler.miner.strategy.walkers,
    )
    torch.testing.assert_close(walkers.yx, expected.miner.strategy.walkers.yx, equal_nan=True)
