"""GPUs as the driver's own tool sees them, or NVIDIA's Python binding where it is installed."""

from __future__ import annotations

import csv
import functools
import importlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

_MIB = 1 << 20
_TIMEOUT_S = 10.0
_FIELDS = "name,memory.total,memory.used,utilization.gpu,power.draw,temperature.gpu"


class Gpu(NamedTuple):
    """One GPU and what it does now; None is what the device does not tell."""

    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    utilization_percent: float | None
    power_w: float | None
    temperature_c: float | None


def find_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where there is no driver."""
    reader = _reader()
    if reader is None:
        return []
    try:
        return reader()
    except Exception:  # a driver that fails must not end a training
        return []


@functools.cache
def _reader() -> Callable[[], list[Gpu]] | None:
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:
        return _read_tool if shutil.which("nvidia-smi") else None
    return functools.partial(_read_binding, nvml)


def _read_tool() -> list[Gpu]:
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return [_parsed(row) for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True) if row]


def _parsed(row: list[str]) -> Gpu:
    name, total, used, busy, power, temperature = row
    return Gpu(
        name,
        int(float(total) * _MIB),
        int(float(used) * _MIB),
        _number(busy),
        _number(power),
        _number(temperature),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A], [Not Supported]
        return None


def _read_binding(nvml: Any) -> list[Gpu]:
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(device)
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        found.append(
            Gpu(
                name.decode() if isinstance(name, bytes) else name,
                int(memory.total),
                int(memory.used),
                _asked(lambda at: nvml.nvmlDeviceGetUtilizationRates(at).gpu, device),
                _asked(lambda at: nvml.nvmlDeviceGetPowerUsage(at) / 1000, device),
                _asked(lambda at: nvml.nvmlDeviceGetTemperature(at, 0), device),
            )
        )
    return found


def _asked(question: Callable[[Any], float], device: Any) -> float | None:
    try:
        return float(question(device))
    except Exception:  # not every device answers every question
        return None
