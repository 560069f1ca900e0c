"""How much memory images may take: what is free, or what a container's limit leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SHARE = 0.4
"""Of the available memory. The rest is for the model, its optimizer and the file cache."""
GB = 1e9


def available(root: Path = Path("/")) -> int:
    """Bytes that this process can still take without swapping.

    Args:
        root: of the file system in which Linux shows limits.
    """
    import psutil  # not when nerfstudio looks what plugins there are

    return max(0, min([psutil.virtual_memory().available, *_left_by_limits(root)]))


def _left_by_limits(root: Path) -> Iterator[int]:
    """What each control group above this process leaves. A file cache counts as free: it gives way."""
    groups, mounted = root / "proc/self/cgroup", root / "sys/fs/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(mounted, path, "memory.max", "memory.current", ("active_file", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _left(mounted / "memory", path, *names, ("total_active_file", "total_inactive_file"))


def _left(mounted: Path, path: str, limit: str, usage: str, cached: tuple[str, ...]) -> Iterator[int]:
    folder = mounted / path.lstrip("/")
    for group in (folder, *folder.parents):
        if (group / limit).exists() and (most := (group / limit).read_text().strip()) != "max":
            told = group / "memory.stat"  # gVisor has none
            statistics = dict(line.split() for line in told.read_text().splitlines()) if told.exists() else {}
            files = sum(int(statistics.get(name, 0)) for name in cached)
            yield int(most) - int((group / usage).read_text()) + files
        if group == mounted:
            return
