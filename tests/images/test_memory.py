"""What is free, and what a container's limit leaves."""

from pathlib import Path

import psutil
import pytest

from softmining_nerfstudio.images.keeping import KeepImages
from softmining_nerfstudio.images.memory import available


def group(root: Path, groups: str, folder: str, files: dict[str, str]) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / "sys/fs/cgroup" / folder / name).write_text(text)


def test_without_limits_it_is_what_the_machine_has_free(tmp_path: Path) -> None:
    assert abs(available(tmp_path) - psutil.virtual_memory().available) < 1e9


def test_the_limit_of_a_group_counts_and_its_file_cache_is_free(tmp_path: Path) -> None:
    stat = "anon 5\nactive_file 20\ninactive_file 30\n"
    numbers = {"memory.max": "1000", "memory.current": "600", "memory.stat": stat}
    group(tmp_path, "0::/a/b\n", "a", numbers)
    group(tmp_path, "0::/a/b\n", "a/b", {**numbers, "memory.max": "max"})
    assert available(tmp_path) == 450


def test_the_older_kind_of_group_counts(tmp_path: Path) -> None:
    stat = "total_active_file 1\ntotal_inactive_file 2\n"
    numbers = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "990", "memory.stat": stat}
    group(tmp_path, "5:cpu:/x\n4:memory,hugetlb:/x\n", "memory/x", numbers)
    assert available(tmp_path) == 13


def test_a_group_that_tells_no_file_cache_has_none(tmp_path: Path) -> None:
    group(tmp_path, "0::/a\n", "a", {"memory.max": "1000", "memory.current": "600"})
    assert available(tmp_path) == 400


def test_a_budget_is_what_the_user_says_or_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softmining_nerfstudio.images.keeping.available", lambda: 1000)
    assert KeepImages().budget(processes=2) == 0  # they share tiles
    assert KeepImages(memory_gb=1.5).budget() == 1.5e9
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="memory_gb"):
            KeepImages(memory_gb=wrong)
