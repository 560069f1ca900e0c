"""What to type after training, with the paths of the run that has just ended."""

from __future__ import annotations

import math
import shlex

from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import writer
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training.rendering import rgb_name_of

POINTS_PER_RAY = 0.3
"""Points of an export in the time in which one ray is trained: rays in vain there, and no backward pass."""
SECONDS = 60
"""How long an export may take."""


def say(trainer: Trainer) -> None:
    """Print the commands that view, evaluate, render and export a run, one to a line, to be copied. Only those that
    work: interpolation needs two views, evaluation one, and both tools the names of a model's outputs."""
    datamanager = trainer.pipeline.datamanager
    trained, held_out = (len(views or ()) for views in (datamanager.train_dataset, datamanager.eval_dataset))
    run = trainer.config.get_base_dir()
    load = f"--load-config {shlex.quote(str(run / 'config.yml'))}"
    into = {name: shlex.quote(str(run / name)) for name in ("eval.json", "interpolation.mp4", "pointcloud")}
    rgb = rgb_name_of(trainer.pipeline)
    rendered = exported = ""
    if rgb != "rgb":  # what the tools look for
        rendered = f" --rendered-output-names {rgb}"
        exported = f" --rgb-output-name {rgb} --depth-output-name {rgb.replace('rgb', 'depth')}"
    commands = {"View it": f"ns-viewer {load} --viewer.websocket-host 127.0.0.1"}
    if held_out:
        commands["Evaluate it"] = f"ns-eval {load} --output-path {into['eval.json']}"
    if max(held_out, trained) >= 2:
        poses = "" if held_out >= 2 else " --pose-source train"
        commands["Render it"] = (
            f"ns-render interpolate {load} --output-path {into['interpolation.mp4']} --order-poses True{poses}"
            f"{rendered}"
        )
    commands["Export it"] = (
        f"ns-export pointcloud {load} --output-dir {into['pointcloud']} --normal-method open3d "
        f"--num-points {export_points(trained_rays_per_second())}{exported}"
    )
    for what, command in commands.items():
        CONSOLE.print(f"[bold green]{what}:[/bold green]")
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)


def trained_rays_per_second() -> float:
    """How fast the last steps were; 0 where no speed was measured."""
    measured = writer.GLOBAL_BUFFER.get("events", {}).get(writer.EventName.TRAIN_RAYS_PER_SEC.value)
    return measured["avg"] if measured else 0.0


def export_points(rays_per_second: float) -> int:
    """Points that an export finds in about a minute, one digit and zeros: between ten thousand and a million."""
    points = min(max(rays_per_second * SECONDS * POINTS_PER_RAY, 10_000), 1_000_000)
    unit = 10 ** math.floor(math.log10(points))
    return int(points // unit * unit)
