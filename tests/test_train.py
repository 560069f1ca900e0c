"""The commands a user types, as processes, on the demo scene: train, kill, resume, evaluate, render, export."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from softmining_nerfstudio.training.checkpoints import allow_numpy_scalars, course_in, newest

COMMANDS = Path(sys.executable).parent
HAS_OPEN3D = subprocess.run([sys.executable, "-c", "import open3d"], capture_output=True, check=False).returncode == 0
STEPS = 40

allow_numpy_scalars()


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """A nerfstudio command to its end; its output is shown if it fails."""
    done = subprocess.run(
        [COMMANDS / str(arguments[0]), *map(str, arguments[1:])],
        capture_output=True,
        text=True,
        timeout=400,
        env=environment(),
        **options,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done


def environment() -> dict[str, str]:
    """Wide lines, so that no path is wrapped; no GPU and one thread, so that every machine gets the same bits."""
    return {
        **os.environ,
        "COLUMNS": "300",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }


def train_command(folder: Path, timestamp: str, *more: object) -> list[object]:
    return [
        *("ns-train", "softmining-lite", "--output-dir", folder, "--timestamp", timestamp),
        *("--vis", "tensorboard", "--steps-per-save", 10, "--pipeline.datamanager.train-num-rays-per-batch", 128),
        *("--pipeline.datamanager.camera-res-scale-factor", 0.16, "--steps-per-eval-image", 20),
        *("--save-only-latest-checkpoint", False, *more),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on the demo scene, and what it printed."""
    folder = tmp_path_factory.mktemp("outputs")
    done = run(*train_command(folder, "whole", "--max-num-iterations", STEPS))
    return folder / "demo-scene" / "softmining-lite" / "whole", done.stdout


def test_training_exits_by_itself_and_says_what_next(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    assert "Model on cpu, torch implementation" in printed
    for command in ("ns-viewer", "ns-eval", "ns-render", "ns-export"):
        assert re.search(rf"{command}.*{folder / 'config.yml'}", printed)
    header = next(line for line in printed.splitlines() if line.startswith("Step (% done)"))
    assert re.split(r"\s{2,}", header)[1:3] == ["ETA", "Test PSNR"]
    assert re.search(r"^30 \(75\.0%\)  .*\d s +\d+\.\d\d dB +\d+ ms", printed, re.MULTILINE)
    found = re.findall(rf"All held-out views after {STEPS} steps: PSNR \d+\.\d\d dB, SSIM 0\.\d+", printed)
    assert len(found) == 1


def test_tensorboard_has_the_mining_numbers_and_pictures(trained: tuple[Path, str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0])).Reload()
    assert {"Mean Error", "Effective Samples", "Redrawn", "On Edges", "Alpha"} <= set(events.Tags()["scalars"])
    assert 0 < events.Scalars("Effective Samples")[-1].value <= 1
    assert {f"Soft Mining/{what} r_0.png" for what in ("rays of", "walkers of")} <= set(events.Tags()["images"])


def test_ns_eval_reports_psnr_and_ssim_and_survives_without_lpips(trained: tuple[Path, str], tmp_path: Path) -> None:
    done = run("ns-eval", "--load-config", trained[0] / "config.yml", "--output-path", tmp_path / "eval.json")
    results = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert 5 < results["psnr"] < 60
    assert 0 < results["ssim"] <= 1
    assert ("lpips" in results) != ("LPIPS is left out" in done.stdout)
    assert f"Evaluated 8 held-out views: PSNR {results['psnr']:.2f} dB, SSIM {results['ssim']:.3f}" in done.stdout


def test_the_headroom_of_a_trained_scene_is_told(trained: tuple[Path, str]) -> None:
    told = run("softmining-bench", "headroom", "--load-config", trained[0] / "config.yml", "--views", 2).stdout
    assert f"(step {STEPS}, 2 training images)" in told
    gains = [float(rays) for rays in re.findall(r"pixels? +([\d.]+) *$", told, re.MULTILINE)]
    assert len(gains) == 7
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1.2  # an object before an empty background, of which a few steps have learnt little


@pytest.mark.skipif(not HAS_OPEN3D, reason="Open3D, which ns-export uses, lacks system libraries here (see README)")
def test_a_trained_scene_is_exported_as_points_and_cameras(trained: tuple[Path, str], tmp_path: Path) -> None:
    load = ("--load-config", trained[0] / "config.yml", "--output-dir", tmp_path)
    run(
        *("ns-export", "pointcloud", *load, "--num-points", 500, "--num-rays-per-batch", 512),
        "--normal-method",
        "open3d",
    )
    run("ns-export", "cameras", *load)
    assert (tmp_path / "point_cloud.ply").stat().st_size > 500
    assert len(json.loads((tmp_path / "transforms_train.json").read_text())) == 60


def test_views_of_the_data_set_are_rendered(trained: tuple[Path, str], tmp_path: Path) -> None:
    load = ("--load-config", trained[0] / "config.yml", "--output-path", tmp_path)
    run("ns-render", "dataset", *load, "--split", "val", "--rendered-output-names", "rgb")
    assert len(list((tmp_path / "val" / "rgb").iterdir())) == 8


def sampler_state(run_folder: Path, step: int) -> dict:
    """What a checkpoint says of the sampler."""
    checkpoint = torch.load(run_folder / "nerfstudio_models" / f"step-{step:09d}.ckpt", map_location="cpu")
    return checkpoint["pipeline"]["datamanager._extra_state"]["sampler"]


def test_a_resumed_run_goes_on_bit_for_bit(trained: tuple[Path, str], tmp_path: Path) -> None:
    whole = trained[0]
    resume = ("--load-dir", whole / "nerfstudio_models", "--load-step", 20, "--max-num-iterations", STEPS)
    run(*train_command(tmp_path, "resumed", *resume))
    resumed = tmp_path / "demo-scene" / "softmining-lite" / "resumed"
    expected = sampler_state(whole, STEPS - 1)
    torch.testing.assert_close(sampler_state(resumed, STEPS - 1), expected, rtol=0, atol=0, equal_nan=True)


def test_a_run_that_has_ended_is_trained_on_from_before_its_cool_down(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    load = ("--load-dir", trained[0] / "nerfstudio_models")
    done = run(*train_command(tmp_path, "longer", *load, "--max-num-iterations", STEPS + 8))
    assert f"Going on from before the cool-down, step-{0.7 * STEPS - 1:09.0f}.ckpt" in done.stdout
    assert f"All held-out views after {STEPS + 8} steps" in done.stdout
    kept = list((tmp_path / "demo-scene" / "softmining-lite" / "longer" / "before_cool_down").iterdir())
    assert [path.name for path in kept] == [f"step-{0.7 * (STEPS + 8) - 0.6:09.0f}.ckpt"]


def test_a_run_of_minutes_ends_after_them_also_when_resumed(tmp_path: Path) -> None:
    run(*train_command(tmp_path, "first", "--minutes", 0.03))
    folder = tmp_path / "demo-scene" / "softmining-lite"
    load = ("--load-dir", folder / "first" / "nerfstudio_models")
    run(*train_command(tmp_path, "second", *load, "--minutes", 0.06))
    for name, minutes in (("first", 0.03), ("second", 0.06)):
        course = course_in(newest(folder / name / "nerfstudio_models"))
        assert minutes * 60 <= course.seconds < minutes * 60 + 1  # a step more
        assert course.cooled == 1


def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    command = [COMMANDS / "ns-train", *map(str, train_command(tmp_path, "killed", "--max-num-iterations", 100000)[1:])]
    folder = tmp_path / "demo-scene" / "softmining-lite" / "killed" / "nerfstudio_models"
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (folder / "step-000000010.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    done = run(*train_command(tmp_path, "resumed", "--load-dir", folder, "--max-num-iterations", 14))
    assert "Done loading Nerfstudio checkpoint" in done.stdout
    assert re.search(r"All held-out views after \d\d steps: PSNR", done.stdout)
