"""What counts as time of training: steps and what lies between them, but no evaluation, checkpoint or pause."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from small_trainer import trainer

from softmining_nerfstudio.training import paced


def test_the_course_counts_the_loop_and_neither_evaluations_nor_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(paced, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setitem(paced.writer.GLOBAL_BUFFER, "events", {})
    interruption = SimpleNamespace(begin_step=lambda: None, end_step=lambda: None)
    made = trainer(tmp_path, minutes=1.0)
    made._start_step, made.stop_training = 5, False
    counted = []
    for step, (before, took) in enumerate([(9.0, 30.0), (0.1, 2.0), (0.5, 2.0), (100.0, 2.0)], made._start_step):
        clock.now += before
        made._begin_step(interruption, step)
        clock.now += took
        made._end_step(interruption, step)
        counted.append(made.course.seconds)
    # the first one compiles; before the last one was an evaluation
    assert counted == pytest.approx([0.0, 2.1, 4.6, 8.6])
