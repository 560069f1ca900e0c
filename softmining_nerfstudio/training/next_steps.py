"""What to type after training, with the paths of the run that has just ended."""

import shlex

from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE


def say(config: TrainerConfig) -> None:
    """Print the commands that view, evaluate, render and export a run, one to a line, to be copied."""
    run = config.get_base_dir()
    load = f"--load-config {shlex.quote(str(run / 'config.yml'))}"
    into = {name: shlex.quote(str(run / name)) for name in ("eval.json", "interpolation.mp4", "pointcloud")}
    for what, command in {
        "View it": f"ns-viewer {load} --viewer.websocket-host 127.0.0.1",
        "Evaluate it": f"ns-eval {load} --output-path {into['eval.json']}",
        "Render it": f"ns-render interpolate {load} --output-path {into['interpolation.mp4']}",
        "Export it": f"ns-export pointcloud {load} --output-dir {into['pointcloud']} --normal-method open3d",
    }.items():
        CONSOLE.print(f"[bold green]{what}:[/bold green]")
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
