"""`softmining-bench run`: train and measure a suite, or go on with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tyro
from rich.console import Console

from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.run import session, suite_file
from softmining_nerfstudio.benchmark.run.suite import Suite


def run(
    suite: tyro.conf.Positional[Path],
    *,
    data: Path | None = None,
    output: Path | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    only_methods: Sequence[str] = (),
    only_scenes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    steps: int | None = None,
) -> int:
    """Train every method of a suite on every scene with every seed. The same command goes on with a stopped suite.

    Args:
        suite: TOML file of the suite, see configs/.
        data: Folder of the scenes. It replaces {data} in the suite.
        output: Folder of the results. Default: results/ and the suite's name.
        jobs: Runs at the same time. More jobs finish sooner but share the cores, so each run's wall-clock grows.
            Default: one on each GPU that CUDA_VISIBLE_DEVICES leaves, or one on the processor; on a cluster as many as
            it takes.
        cluster: Train on a Ray cluster: HOST:PORT of its head, or auto for the one that this machine belongs to. Each
            node needs this package and the data, at the same path. Each run gets a GPU, or OMP_NUM_THREADS cores (1).
        only_methods: Train only these methods of the suite.
        only_scenes: Train only these scenes of the suite.
        seeds: Replace the suite's seeds.
        steps: Replace the suite's training steps. The number of measurements stays, at most one every ten steps.

    Returns:
        The exit status: 1 if a run failed, 130 if the user stopped it.

    Raises:
        SuiteError: the suite cannot be run.
        ResultsError: the results folder is damaged.
        ClusterError: the cluster cannot train it.
    """
    read = _suite(suite, seeds, steps)
    methods = _chosen("method", only_methods, read.methods, read)
    scenes = _chosen("scene", only_scenes, read.scenes, read)
    require_count("--jobs", jobs)
    runs, folder = read.runs(methods, scenes), output or Path("results") / suite.stem
    if cluster is None:
        read.require_scenes(scenes, data)
        hire = session.here(jobs)
    else:
        data = data and data.absolute()
        hire = session.on_cluster(cluster, [path for scene in scenes for path in read.paths(scene, data)], jobs)
    from softmining_nerfstudio.benchmark.run import plan  # nerfstudio takes seconds to import

    tasks = plan.checked(read, runs, data, folder, has_data=cluster is None)
    status = session.train(read, tasks, data, folder, hire)
    if status != session.STOPPED:
        session.say(Console(), "Tables and plots:", f"softmining-bench report {shlex.quote(str(folder))}")
    return status


def _suite(path: Path, seeds: Sequence[int], steps: int | None) -> Suite:
    """The suite with the changes that the options ask for."""
    suite = suite_file.load(path)
    require_count("--steps", steps)
    if steps is not None:
        suite = suite.with_steps(steps)
    if seeds:
        require_seeds(seeds)
        suite = replace(suite, seeds=tuple(dict.fromkeys(seeds)))
    return suite.with_budgets()


def _chosen(what: str, names: Sequence[str], of: dict[str, str], suite: Suite) -> Sequence[str]:
    for name in names:
        if name not in of:
            raise SuiteError(f"{suite.source.path} has no {what} {name!r}. Allowed: {', '.join(of)}")
    return names or tuple(of)


def require_count(option: str, count: int | None) -> None:
    """Check the value of an option that counts something.

    Raises:
        SuiteError: it is less than one.
    """
    if count is not None and count < 1:
        raise SuiteError(f"{option} is {count}; expected a whole number from 1 on")


def require_seeds(seeds: Sequence[int]) -> None:
    """Check the seeds of the command line.

    Raises:
        SuiteError: there are none, or one is too large.
    """
    if not suite_file.SEEDS.fits(list(dict.fromkeys(seeds))):
        raise SuiteError(f"--seeds is {' '.join(map(str, seeds))}; expected whole numbers from 0 to {2**32 - 1}")
