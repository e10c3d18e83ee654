"""How much memory this machine has and has left, on the host and on its GPUs.

Inside a container the machine's own figures promise more than the process may use, so the container's limit counts
where there is one. The figures are of the moment; nothing is reserved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def host_memory() -> tuple[int, int]:
    """Total and free bytes of host memory, within the limit of the container if there is one."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        used = next(int(line.split()[1]) for line in lines if line.startswith("anon "))
        total, free = min(total, limit), min(free, max(0, limit - used))
    except (OSError, ValueError, StopIteration):
        pass
    return total, free


def gpu_memory() -> list[dict[str, Any]]:
    """Index, name, free and total bytes of each CUDA device that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        {"index": i, "name": torch.cuda.get_device_name(i), "free": free, "total": total}
        for i in range(torch.cuda.device_count())
        for free, total in [torch.cuda.mem_get_info(i)]
    ]
