"""A checkpoint is never saved over a better one: not a diverged model, not half a file."""

import errno
import os
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.engine.trainer import Trainer
from small_trainer import trainer
from torch import nn

from softmining_nerfstudio.training import saving
from softmining_nerfstudio.training.checkpoints import newest
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.paced import PacedTrainer
from softmining_nerfstudio.training.trainer import SoftMiningTrainer


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_parameters_that_are_not_finite_are_not_saved(tmp_path: Path, number: float) -> None:
    made = trainer(tmp_path)
    made.save_checkpoint(10)
    with torch.no_grad():
        made.pipeline.weight[0, 1] = number
    with pytest.raises(UserError, match=r"after 21 steps: weight is not finite.*step-000000010\.ckpt"):
        made.save_checkpoint(20)
    assert [path.name for path in made.checkpoint_dir.iterdir()] == ["step-000000010.ckpt"]


def test_without_a_good_checkpoint_none_is_named(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    nn.init.constant_(made.pipeline.bias, torch.nan)
    with pytest.raises(UserError, match=r"bias is not finite\. No checkpoint was written yet"):
        made.save_checkpoint(20)


def stepped(monkeypatch: pytest.MonkeyPatch, losses: dict[str, torch.Tensor], made: SoftMiningTrainer) -> None:
    """A step whose loss terms are these."""
    monkeypatch.setattr(Trainer, "train_iteration", lambda self, step: (sum(losses.values()), losses, {}))
    made.pipeline.datamanager = SimpleNamespace(get_train_rays_per_batch=lambda: 77)
    made.train_iteration(7)


def test_a_loss_term_that_is_not_finite_ends_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(tmp_path)
    losses = {"rgb_loss": torch.tensor(0.1), "interlevel_loss": torch.tensor(0.2)}
    stepped(monkeypatch, losses, made)
    with pytest.raises(UserError, match=r"in step 8: interlevel_loss is not finite\."):
        stepped(monkeypatch, losses | {"interlevel_loss": torch.tensor(torch.nan)}, made)
    nn.init.constant_(made.pipeline.bias, torch.nan)
    with pytest.raises(UserError, match="interlevel_loss is not finite, and so is bias"):
        stepped(monkeypatch, losses | {"interlevel_loss": torch.tensor(torch.nan)}, made)


def test_a_gradient_scaler_may_skip_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(tmp_path)
    made.grad_scaler = SimpleNamespace(is_enabled=lambda: True)
    stepped(monkeypatch, {"rgb_loss": torch.tensor(torch.inf)}, made)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.cuda.OutOfMemoryError()]
)
def test_rays_that_do_not_fit_into_the_memory_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Trainer, "train_iteration", fail)
    made = trainer(tmp_path)
    made.pipeline.datamanager = SimpleNamespace(get_train_rays_per_batch=lambda: 77)
    with pytest.raises(UserError, match="77 rays does not fit into the memory"):
        made.train_iteration(0)


def half(state: dict, path: Path) -> None:
    """torch.save on a full disk."""
    path.write_bytes(b"half of it")
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


def fill(patched: pytest.MonkeyPatch) -> None:
    """Have the disk full, until it is undone."""
    patched.setattr(torch, "save", half)
    patched.setattr(saving.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(4096))


def test_training_goes_on_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trainer(tmp_path)
    made.save_checkpoint(10)
    with monkeypatch.context() as patched:
        fill(patched)
        made.save_checkpoint(20)
    assert f"the disk {saving._mount(tmp_path)} is full" in " ".join(capsys.readouterr().out.split())
    assert [path.name for path in made.checkpoint_dir.iterdir()] == ["step-000000010.ckpt"]
    assert [path.name for path in made.checkpoint_dir.parent.iterdir()] == [made.checkpoint_dir.name]
    made.save_checkpoint(30)
    assert newest(made.checkpoint_dir).name == "step-000000030.ckpt"


def test_a_log_that_the_disk_refuses_ends_training_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(self: PacedTrainer) -> None:
        self.course.steps = 7
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PacedTrainer, "train", train)
    made = trainer(tmp_path)
    made._start_step = 0
    with pytest.raises(UserError, match=r"the log in .*/run cannot be written: No space left on device"):
        made.train()
    assert newest(made.checkpoint_dir).name == "step-000000006.ckpt"
    assert "Stopped after 7 steps. Resume with:" in capsys.readouterr().out


def test_the_last_checkpoint_must_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(monkeypatch)
    made = trainer(tmp_path)
    made.training_state = "completed"
    with pytest.raises(UserError, match=r"cannot save .*step-000000020\.ckpt: the disk .* is full"):
        made.save_checkpoint(20)


def test_the_new_checkpoint_is_on_the_disk_before_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, there = trainer(tmp_path), []
    made.save_checkpoint(10)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        there.append(sorted(path.name for path in made.checkpoint_dir.iterdir()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    made.save_checkpoint(20)
    assert there == [["step-000000010.ckpt"], ["step-000000010.ckpt", "step-000000020.ckpt"]]
