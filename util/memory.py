"""How much memory may still be taken: of the machine, within a container's or a job's limit, and on a GPU."""

from __future__ import annotations

from pathlib import Path

import torch


def free_bytes(device: torch.device) -> int | None:
    """Bytes that this process could still occupy on the device; None where nobody tells (macOS, Windows)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_bytes()


def free_host_bytes(proc: Path = Path("/proc"), control_groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the system calls available, or less where a container or a batch job is limited; None where unknown."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return min([available, *_free_in_groups(proc, control_groups)])


def _free_in_groups(proc: Path, root: Path) -> list[int]:
    """What is left within the limits of this process's control groups, of version 1 and 2, and of those above them."""
    try:
        entries = [line.split(":", 2) for line in (proc / "self" / "cgroup").read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, place in entries:
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        # Inside a container the path may be the host's: then the container's own group is mounted at the top.
        group = top / place.lstrip("/")
        for folder in {top, *(parent for parent in [group, *group.parents] if parent.is_relative_to(top))}:
            left += _free_in(folder)
    return left


def _free_in(group: Path) -> list[int]:
    """Limit less use of one control group; nothing where there is no limit. Cached files are no use: they can go."""
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            allowed, used = int((group / limit).read_text()), int((group / usage).read_text())
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return [max(0, allowed - used + int(counts.get(cached, 0)))]
        except (OSError, ValueError):  # not this version, or "max"
            continue
    return []
