"""The table of numbers in the terminal."""

import re
import subprocess
import sys

import pytest

from softmining_nerfstudio import BEYOND_A_USER
from softmining_nerfstudio.training.terminal import (
    EventName,
    MiningEvent,
    SoftMiningLocalWriterConfig,
    Table,
    counted,
    duration,
    writer,
)

Capture = pytest.CaptureFixture[str]
BANNER = ["Viewer running locally at: http://localhost:7007 (listening on 127.0.0.1)"]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """With the writer's global state as at the start of a training of 1000 steps."""
    monkeypatch.setattr(writer, "EVENT_STORAGE", [])
    monkeypatch.setattr(writer, "GLOBAL_BUFFER", {"steps_per_log": 10, "max_iter": 1000, "step": 0})
    return SoftMiningLocalWriterConfig(max_log_size=3).setup(BANNER)


def step(table: Table, number: int, **more: float) -> None:
    """One training step with its numbers."""
    writer.put_scalar(EventName.ITER_TRAIN_TIME, 0.087, number)
    for name, value in {"ETA (time)": 3661.0, **more}.items():
        writer.put_scalar(name, value, number)
    table.write_stats_log(number)
    writer.EVENT_STORAGE.clear()


MINING = {event.value: 0.5 for event in MiningEvent}


def test_eta_and_psnr_come_first_with_two_mining_numbers_within_110_characters(table: Table, capsys: Capture) -> None:
    step(table, 990, **MINING, **{"Test PSNR": 28.125, "Train Rays / Sec": 98765.0})
    banner, header, line, row = capsys.readouterr().out.splitlines()
    titles = ["Step (% done)", "ETA", "Test PSNR", "Step time", "Rays / s", "Mean Error", "Effective Samples"]
    assert re.split(r"\s{2,}", header) == titles
    assert re.split(r"\s{2,}", row) == ["990 (99.0%)", "1 h 01 min", "28.12 dB", "87 ms", "98.77 K", "0.5000", "0.50"]
    assert [banner] == BANNER
    assert max(len(header), len(line), len(row)) < 110


def test_a_viewers_events_add_no_row_and_change_no_column(table: Table, capsys: Capture) -> None:
    step(table, 10, **MINING)
    before = capsys.readouterr().out.splitlines()[-1]
    writer.put_scalar(EventName.VIS_RAYS_PER_SEC, 1e5, 10)
    table.write_stats_log(10)
    writer.put_scalar(EventName.VIS_RAYS_PER_SEC, 1e5, 10)  # in front of the next step's
    step(table, 11)
    assert not capsys.readouterr().out
    step(table, 20)  # without the miner's numbers
    after = capsys.readouterr().out.splitlines()
    assert len(after) == 1
    assert after[0].split("  ")[1:] == before.split("  ")[1:]


def test_a_terminal_keeps_the_last_rows_cut_at_its_width(
    table: Table, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    for number in range(0, 60, 10):
        capsys.readouterr()
        step(table, number, **MINING)
    printed = capsys.readouterr().out
    assert printed.startswith(f"\x1b[{2 + 3 + 1}A")  # header and line, rows, banner
    lines = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", printed).splitlines()
    assert [line.split(" ")[0] for line in lines[2:5]] == ["30", "40", "50"]
    assert lines[5] == BANNER[0][:60]
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize(("seconds", "shown"), [(7.9, "7 s"), (67, "1 min 07 s"), (7384, "2 h 03 min")])
def test_durations_have_two_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_only_the_warnings_that_a_user_can_do_nothing_about_are_hidden() -> None:
    script = """
import warnings, softmining_nerfstudio
for module in ("nerfstudio.cameras.cameras", "mine"):
    for text in ("Using a non-tuple sequence for multidimensional indexing is deprecated", "Something else"):
        warnings.warn_explicit(f"{text} in {module}", UserWarning, "file", 1, module)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
    assert re.findall(r"UserWarning: (\S+) .*in (\S+)", told) == [
        ("Something", "nerfstudio.cameras.cameras"),
        ("Using", "mine"),
        ("Something", "mine"),
    ]
    asked = subprocess.run(
        [sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True
    ).stderr
    assert asked.count("UserWarning") == 4
    assert len(BEYOND_A_USER) == 5


def test_one_thing_is_singular() -> None:
    assert [counted(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
