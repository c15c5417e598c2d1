"""What the machine does while a run goes on: processor, memory, disk, network, GPUs, every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from holdfast.sdk.runs.gpu import find_gpus

Sink = Callable[[dict[str, float], int], None]


class SystemMonitor:
    """Measures in a thread of its own and hands `system/…` values and whole seconds since the start to a sink.

    Args:
        interval_s: seconds between two measurements.
        sink: takes values by metric and the step.
    """

    def __init__(self, interval_s: float, sink: Sink) -> None:
        self._interval_s = interval_s
        self._sink = sink
        self._stopped = threading.Event()
        self._started = time.monotonic()
        self._meter = Meter()
        self._thread = threading.Thread(target=self._measure, name="holdfast-system", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a run too short for the first interval gets its one measurement now."""
        self._stopped.set()
        self._thread.join(timeout=1.0)
        if time.monotonic() - self._started < self._interval_s:
            self._send()

    def _measure(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self._send()

    def _send(self) -> None:
        try:
            values = self._meter.measure()
        except Exception:  # counters that vanish (a container that ends) must not end a training
            return
        self._sink(values, int(time.monotonic() - self._started))


class Meter:
    """Values since the measurement before; the first ones count from the meter's making."""

    def __init__(self) -> None:
        import psutil

        self._psutil: Any = psutil
        self._process: Any = psutil.Process()
        self._at = time.monotonic()
        self._counters = self._count()
        psutil.cpu_percent()
        self._process.cpu_percent()

    def measure(self) -> dict[str, float]:
        """Percentages, bytes, and bytes a second. 100 percent is the whole machine, of a process one core."""
        memory = self._psutil.virtual_memory()
        disk = self._psutil.disk_usage("/")
        values = {
            "system/cpu_percent": self._psutil.cpu_percent(),
            "system/memory_percent": memory.percent,
            "system/memory_used_bytes": float(memory.total - memory.available),
            "system/disk_used_percent": disk.percent,
            "system/process_cpu_percent": self._process.cpu_percent(),
            "system/process_memory_bytes": float(self._process.memory_info().rss),
        }
        now, counters = time.monotonic(), self._count()
        elapsed = max(now - self._at, 1e-6)
        for name, value in counters.items():
            if name in self._counters:
                values[name] = max(0.0, value - self._counters[name]) / elapsed
        self._at, self._counters = now, counters
        values.update(_gpu_values())
        return {name: float(value) for name, value in values.items()}

    def _count(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for read, names in (
            (self._psutil.disk_io_counters, ("read_bytes", "write_bytes")),
            (self._psutil.net_io_counters, ("bytes_recv", "bytes_sent")),
        ):
            try:
                counters = read()
            except Exception:  # not every container shows them
                counters = None
            if counters is not None:
                found.update({_RATES[name]: float(getattr(counters, name)) for name in names})
        return found


_RATES = {
    "read_bytes": "system/disk_read_bytes_per_s",
    "write_bytes": "system/disk_written_bytes_per_s",
    "bytes_recv": "system/network_received_bytes_per_s",
    "bytes_sent": "system/network_sent_bytes_per_s",
}


def _gpu_values() -> dict[str, float]:
    found: dict[str, float | None] = {}
    for number, gpu in enumerate(find_gpus()):
        found[f"system/gpu_{number}_percent"] = gpu.utilization_percent
        found[f"system/gpu_{number}_memory_used_bytes"] = float(gpu.memory_used_bytes)
        found[f"system/gpu_{number}_power_w"] = gpu.power_w
        found[f"system/gpu_{number}_temperature_c"] = gpu.temperature_c
    return {name: value for name, value in found.items() if value is not None}
