"""What processes use, as the kernel accounts it."""

import re
import resource
from pathlib import Path


def cpu_seconds(*who: int) -> float:
    """User and system time."""
    usages = [resource.getrusage(each) for each in who]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def megabytes(process: int | str = "self", *, most: bool = False) -> float:
    """Resident memory now, or the most that there ever was."""
    field = "VmHWM" if most else "VmRSS"
    found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    if found is None:
        raise RuntimeError(f"no {field} in /proc/{process}/status")
    return int(found[1]) / 1024
