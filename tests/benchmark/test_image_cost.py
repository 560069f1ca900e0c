"""What images cost is measured, in every way; tiles are cleared."""

import json
from pathlib import Path

import pytest

from softmining_nerfstudio.benchmark import image_cost
from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.image_plot import FILE_NAME, PLOT_NAME


def test_ways_are_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ways, output = ("nerfstudio", "tiles"), tmp_path / "out"
    image_cost.images(count=(10,), megapixels=(0.5,), ways=ways, steps=3, masks=True, folder=tmp_path, output=output)
    settings, *records = map(json.loads, (tmp_path / "out" / FILE_NAME).read_text().splitlines())
    assert settings["settings"]["masks"]
    assert [record["way"] for record in records] == [*ways]
    for record in records:
        assert record["taken"] == 20_000_000
        assert record["resident"] >= record["anonymous"] > 1e8
        assert record["first"] > record["step"] / 1000 > record["draw"] / 1000 > 0
    assert (tmp_path / "out" / PLOT_NAME).stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "10 images of 0.5 MP" in capsys.readouterr().out


def test_what_does_not_fit_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    numbers = {"VmRSS": 5, "RssAnon": 4, "first": 3, "step": 2, "draw": 1, "step_cpu": 2, "draw_cpu": 1}
    monkeypatch.setattr(image_cost, "run", lambda *_: numbers)
    monkeypatch.setattr(image_cost, "available", lambda: 100_000)
    image_cost.images(count=(10,), megapixels=(0.001,), folder=tmp_path)
    said = capsys.readouterr().out
    assert "nerfstudio is left out: it needs 240.0 kB of 100.0 kB" in said
    assert "memory is left out" not in said


@pytest.mark.parametrize(
    ("ways", "starts"),
    [
        (("tiles, again",), 2),
        (("tiles, cold", "tiles, again"), 3),
        (("tiles", "tiles, again", "tiles, cold"), 3),
        (("memory",), 1),
    ],
)
def test_a_start_that_finds_tiles_is_measured_after_one_that_wrote_them(
    ways: tuple[str, ...], starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def run(data: Path, tiles: Path, way: str, steps: int) -> dict:
        if data.name == "made":
            found.append((way, tiles.exists()))
            if way.startswith("tiles"):
                (tiles / "abc").mkdir(parents=True, exist_ok=True)
                (tiles / "abc" / "image.tiles").touch()
        return {"VmRSS": 5, "RssAnon": 4, "first": 3, "step": 2, "draw": 1, "step_cpu": 2, "draw_cpu": 1}

    monkeypatch.setattr(image_cost, "run", run)
    records = image_cost.measure(tmp_path, 2, 0.001, ways, 2, masks=False)
    assert [record.way for record in records] == [*ways]
    assert len(found) == starts
    assert all(there for way, there in found[starts - len(ways) :] if way in ("tiles, again", "tiles, cold"))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"ways": ("paper",)}, "paper"), ({"count": (0,)}, "count"), ({"steps": 1}, "steps"), ({"megapixels": (0,)}, "0")],
)
def test_what_cannot_be_measured_is_refused(options: dict, says: str) -> None:
    with pytest.raises(BenchmarkError, match=says):
        image_cost.images(**options)


def test_tiles_are_cleared(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "records.jsonl").write_text("[]")
    (tmp_path / "abc" / "image.tiles").write_bytes(bytes(5000))
    image_cost.images(clear=True, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert "Deleted 5.0 kB of tiles" in capsys.readouterr().out
