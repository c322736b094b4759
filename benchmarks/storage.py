"""How much faster many small objects are read at once than one by one.

    python benchmarks/storage.py [--objects 2000] [--kilobytes 100] [--latency-ms 50]

An HTTP server on loopback, in a process of its own, answers each request after the given latency.
The objects are read one at a time with ``storage.read``, and with ``storage.read_many`` at several
degrees of concurrency. Memory is the growth of the process's peak (``ru_maxrss``), in a fresh
process each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import time


def serve(port: int, size: int, latency_s: float) -> None:
    """Answers every GET with ``size`` bytes after ``latency_s`` seconds."""
    from aiohttp import web

    body = os.urandom(size)

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(latency_s)
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def measure(url: str, count: int, concurrency: int) -> dict[str, float]:
    """Reads ``count`` objects; ``concurrency`` 0 means one at a time, without a pool."""
    from alphabeam.transforms import storage

    storage.read(f"{url}/warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    uris = (f"{url}/{index}" for index in range(count))
    began, total = time.perf_counter(), 0
    if concurrency:
        for _, data in storage.read_many(uris, concurrency=concurrency):
            assert isinstance(data, bytes), data
            total += len(data)
    else:
        for uri in uris:
            total += len(storage.read(uri))
    seconds = time.perf_counter() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "bytes": total, "grown_mib": grown / 1024}


def main() -> None:
    """Runs the server and the measurements, prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--kilobytes", type=int, default=100)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--concurrency", default="0,16,32,64,128")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.kilobytes * 1000, arguments.latency_ms / 1000)
        return
    if arguments.measure:
        result = measure(arguments.measure, arguments.objects, int(arguments.concurrency))
        print(json.dumps(result))
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    again = [sys.executable, __file__, f"--kilobytes={arguments.kilobytes}"]
    again += [f"--objects={arguments.objects}", f"--latency-ms={arguments.latency_ms}"]
    server = subprocess.Popen([*again, f"--serve={port}"])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
        print(f"{arguments.objects} objects of {arguments.kilobytes} kB, {arguments.latency_ms} ms")
        print("| concurrency | seconds | objects/s | times faster | peak grew, MiB |")
        print("|---|---|---|---|---|")
        base = 0.0
        for concurrency in arguments.concurrency.split(","):
            done = subprocess.run(
                [*again, f"--measure=http://127.0.0.1:{port}", f"--concurrency={concurrency}"],
                stdout=subprocess.PIPE,
                check=True,
            )
            result = json.loads(done.stdout)
            base = base or result["seconds"]
            rate = arguments.objects / result["seconds"]
            name = "one at a time" if concurrency == "0" else concurrency
            print(
                f"| {name} | {result['seconds']:.1f} "
                f"| {rate:.0f} | {base / result['seconds']:.1f} | {result['grown_mib']:.0f} |",
                flush=True,
            )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
