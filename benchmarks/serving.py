"""`gannet serve` under load: two processes on one machine, over loopback.

The service has the ONNX file of a DCGAN at 64 pixels, untrained, which changes no time. This process keeps so many
requests of one image in flight on connections that stay open, each with a seed of its own; one that is answered 503 is
asked again after a tenth of a second. Printed are images a second, how long answers took, the share of 503, anything
else that was answered, and the service's memory after warming up, in the middle and at the end. At last SIGTERM: how
long the end took, and the exit status.

    uv run --extra serve --extra onnx python benchmarks/serving.py                  # 100 in flight, 60 s
    uv run --extra serve --extra onnx python benchmarks/serving.py --queue 32       # a queue that is too short for them

Memory is read from /proc, on Linux alone.
"""

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from latency import save

WARM_UP = 3.0  # seconds
PAUSE = 0.1  # seconds after a 503


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int:
    """One request on an open connection; the status."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def client(port: int, seeds: Iterator[int], until: float, seconds: list[float], statuses: Counter[int]) -> None:
    """Asks again and again, one request at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (began := time.perf_counter()) < until:
        status = await ask(reader, writer, f"/sample?seed={next(seeds)}")
        statuses[status] += 1
        if status == 200:
            seconds.append(time.perf_counter() - began)
        else:
            await asyncio.sleep(PAUSE)
    writer.close()


def memory(pid: int) -> str:
    """What the process has in memory now."""
    status = Path(f"/proc/{pid}/status")
    found = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")] if status.exists() else []
    return f"{int(found[0].split()[1]) / 1024:.0f} MiB" if found else "not known"


async def load(port: int, pid: int, in_flight: int, length: float) -> None:
    """The load, and what came of it."""
    seeds = itertools.count()

    async def phase(duration: float) -> tuple[list[float], Counter[int]]:
        seconds: list[float] = []
        statuses: Counter[int] = Counter()
        until = time.perf_counter() + duration
        await asyncio.gather(*(client(port, seeds, until, seconds, statuses) for _ in range(in_flight)))
        return seconds, statuses

    await phase(WARM_UP)
    resident, seconds, statuses = [memory(pid)], [], Counter[int]()
    began = time.perf_counter()
    for _ in range(2):
        more, others = await phase(length / 2)
        seconds += more
        statuses += others
        resident.append(memory(pid))
    took = time.perf_counter() - began
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{in_flight} in flight for {took:.0f} s: {len(seconds) / took:,.0f} images a second")
    print(f"answered in {cuts[49] * 1e3:.0f} ms (median), {cuts[98] * 1e3:.0f} ms (99th percentile)")
    print(f"503: {statuses[503] / statuses.total():.2%} of {statuses.total():,} answers")
    print(f"anything else: {sum(statuses.values()) - statuses[200] - statuses[503]}")
    print(f"memory of the service: {', '.join(resident)} (warm, middle, end)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        save("DCGAN-64", Path(place))
        words = [f"{place}/DCGAN-64.onnx", "--port", "0", "--queue", options.queue, "--threads", options.threads]
        command = [sys.executable, "-m", "gannet", "serve", *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout
            port = int(service.stdout.readline().split()[2].rpartition(":")[2])
            asyncio.run(load(port, service.pid, options.in_flight, options.seconds))
            began = time.perf_counter()
            service.terminate()
            print(f"SIGTERM: status {service.wait()} after {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
