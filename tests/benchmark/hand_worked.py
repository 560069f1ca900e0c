"""A results folder written here, with numbers that can be checked by hand, and what is read from its report."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from softmining_nerfstudio.benchmark.report.command import report
from softmining_nerfstudio.benchmark.results import Measurement, append

STEPS = (0, 100, 200, 300, 400)
CURVES = {
    "uniform": (10.0, 20.0, 24.0, 26.0, 27.0),
    "tuned": (10.0, 21.0, 25.0, 27.0, 28.0),
    "mined": (10.0, 24.0, 27.0, 29.0, 29.5),
    "worse": (10.0, 19.0, 22.0, 25.0, 26.5),
}
SECONDS = {"uniform": 0.1, "tuned": 0.1, "mined": 0.125, "worse": 0.1}
"""Per step."""


def write_results(folder: Path) -> Path:
    """Four methods, one scene, three seeds that differ by 0.1 dB."""
    write_suite(folder)
    for method in CURVES:
        for seed in (1, 2, 3):
            write_run(folder, "chair", method, seed)
    return folder


def write_suite(folder: Path, scenes: tuple[str, ...] = ("chair",)) -> None:
    suite = {"title": "Hand-worked", "steps": 400, "seeds": [1, 2, 3], "baseline": "uniform", "tuned_baseline": "tuned"}
    suite |= {"methods": dict.fromkeys(CURVES, ""), "scenes": dict.fromkeys(scenes, "")}
    folder.mkdir(parents=True)
    session = {"command": "softmining-bench run hand.toml", "data": None, "environment": {"torch": "2.0", "gpu": None}}
    asked = {name: [*suite[name]] for name in ("scenes", "methods", "seeds")}
    (folder / "suite.json").write_text(json.dumps({"suite": suite, "sessions": [session | {"asked": asked}]}))


def write_run(
    folder: Path,
    scene: str,
    method: str,
    seed: int,
    *,
    ends: bool = True,
    above: float = 0.0,
    device: str | None = None,
) -> None:
    for step, psnr in zip(STEPS, CURVES[method], strict=True):
        psnr += 0.1 * (seed - 2) + above
        final = {"psnr": psnr - 0.5, "ssim": 0.9} if step == STEPS[-1] and ends else None
        wall = step * SECONDS[method]
        render = write_render(folder, f"{scene}-{method}", step) if seed == 1 else None
        append(
            folder, Measurement(scene, method, seed, step, wall, 2 * wall, psnr, 2**30, render, final, device=device)
        )


def write_render(folder: Path, name: str, step: int) -> str:
    path = folder / "renders" / name / f"step-{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((4, 6, 3), 100 + step // 10, dtype=np.uint8)
    Image.fromarray(image).save(path)
    Image.fromarray(image // 2).save(path.parent / "truth.png")
    return path.relative_to(folder).as_posix()


def markdown_of(folder: Path, **options: object) -> str:
    path = folder.parent / "report.md"
    report(folder, markdown=path, **options)  # pyright: ignore[reportArgumentType]
    return path.read_text()


def cells(markdown: str, table: str, method: str) -> dict[str, str]:
    """A row of a table, by column."""
    lines = markdown[markdown.index(table) :].split("\n")[2:]
    lines = lines[: lines.index("")]
    header, row = lines[0], next(line for line in lines if line.startswith(f"| {method} "))
    return dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (header, row)), strict=True))
