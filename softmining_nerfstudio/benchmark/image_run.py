"""One measurement of what images cost, in a process of its own: `python -m ...image_run JSON` prints its numbers."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

CLOCKS = (0, ""), (1, "_cpu")
"""Of a pair of times: by the clock on the wall, and what all threads spent on a processor."""
PAUSE = 0.01
"""Seconds between two looks at the memory."""


def main() -> None:
    """Load the images of a capture, train some steps, and print what that took."""
    settings = json.loads(sys.argv[1])
    start = time.perf_counter()
    with peak_memory() as peak:
        times, draws, first = steps_of(settings)
    names = {"step": times, "draw": draws}
    wall, processor = ({n + end: median(t[at] for t in ts) for n, ts in names.items()} for at, end in CLOCKS)
    print(json.dumps({"first": first - start, **wall, **processor, **peak}))


Times = list[tuple[float, float]]


def now() -> tuple[float, float]:
    """Both clocks, ms."""
    return 1000 * time.perf_counter(), 1000 * time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """What both clocks say since then, ms."""
    wall, processor = now()
    return wall - start[0], processor - start[1]


def steps_of(settings: dict) -> tuple[Times, Times, float]:
    """Times of each step, of drawing its batch, and the moment of the first step's end."""
    import torch
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
    from nerfstudio.data.datasets.base_dataset import InputDataset

    from softmining_nerfstudio.images.keeping import KeepImages
    from softmining_nerfstudio.methods import softmining_lite
    from softmining_nerfstudio.training import threads
    from softmining_nerfstudio.training.datamanager import SoftMiningDataManager

    class AsNerfstudio(InputDataset):
        """One that says how it reads images, so that nerfstudio's own loader is used."""

        def get_image_float32(self, image_idx: int):
            return super().get_image_float32(image_idx)

    threads.leave_busy_cores_alone()  # as the trainer does
    config: Any = softmining_lite.config.pipeline
    manager = config.datamanager
    manager.dataparser = NerfstudioDataParserConfig(data=Path(settings["data"]), downscale_factor=1)
    manager.images = KeepImages(settings["memory_gb"], Path(settings["tiles"]))
    if settings["as_nerfstudio"]:
        manager._target = SoftMiningDataManager[AsNerfstudio]
    pipeline = config.setup(device="cpu", test_mode="val")
    pipeline.train()
    times: Times = []
    draws: Times = []
    first = 0.0
    for step in range(settings["steps"]):
        start = now()
        rays, batch = pipeline.datamanager.next_train(step)
        draws.append(since(start))
        outputs = pipeline.model(rays)
        losses = pipeline.model.get_loss_dict(outputs, batch, pipeline.model.get_metrics_dict(outputs, batch))
        torch.stack([*losses.values()]).sum().backward()
        pipeline.zero_grad()
        times.append(since(start))
        first = first or time.perf_counter()
    return times[1:], draws[1:], first


@contextmanager
def peak_memory() -> Iterator[dict[str, int]]:
    """The largest numbers of bytes within this context: resident, and anonymous (not the system's to drop)."""
    peak, done = {"VmRSS": 0, "RssAnon": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(PAUSE):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in peak:
                    peak[name] = max(peak[name], 1024 * int(rest.split()[0]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
