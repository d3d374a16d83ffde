"""Measures free memory: of the machine, within the limits of a container or batch job, and of a GPU."""

from __future__ import annotations

from pathlib import Path

import torch


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that this process can still allocate on the device; None if unknown (macOS, Windows)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_bytes()


def free_host_bytes(proc: Path = Path("/proc"), control_groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the available host memory in bytes, within the limits of a container or batch job; None if unknown."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return min([available, *_free_in_groups(proc, control_groups)])


def _free_in_groups(proc: Path, root: Path) -> list[int]:
    """Return the free bytes in each control group (version 1 or 2) of this process and in their parents."""
    try:
        entries = [line.split(":", 2) for line in (proc / "self" / "cgroup").read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, place in entries:
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        # Inside a container, the path may be the host's, and the container's own group is mounted at the top.
        group = top / place.lstrip("/")
        for folder in {top, *(parent for parent in [group, *group.parents] if parent.is_relative_to(top))}:
            left += _free_in(folder)
    return left


def _free_in(group: Path) -> list[int]:
    """Return the limit minus the usage of one control group, or an empty list without a limit. The file cache does
    not count as usage, since it can be dropped."""
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
