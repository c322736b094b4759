"""Starts the emulator by hand: ``python -m alphabeam.transforms.picpik.emulator --port 8765``."""

from __future__ import annotations

import argparse
import sys
import time

from alphabeam.transforms.picpik.emulator import (
    FAULTS,
    Answerer,
    core_answer,
    cut_by_colour,
    running_emulator,
)


def main() -> int:
    """Runs the emulator until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m alphabeam.transforms.picpik.emulator",
        description="An emulator of the PICPIK API on loopback; no real keys are needed.",
        epilog="faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()),
    )
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one")
    parser.add_argument("--public-key", default="demo-public")
    parser.add_argument("--private-key", default="demo-private")
    parser.add_argument("--task-seconds", type=float, default=1.0, help="how long a task runs")
    parser.add_argument("--slots", type=int, default=32, help="tasks that run at one time")
    parser.add_argument("--credits", type=int, help="the account's credits (default: no end)")
    parser.add_argument(
        "--core",
        nargs="?",
        const="catalogue",
        metavar="MODEL",
        help="answer with the local matting core, and this model (default: catalogue)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=P",
        help="a fault and its probability, as http_500=0.2; may be given again",
    )
    options = parser.parse_args()
    faults: dict[str, float] = {}
    for text in options.fault:
        name, _, chance = text.partition("=")
        try:
            faults[name] = float(chance or "1")
        except ValueError:
            parser.error(f"--fault {text}: {chance!r} is not a probability like 0.2")
    answer: Answerer = cut_by_colour
    if options.core:
        # Here alone the emulator meets the core and its decoder.
        from alphabeam.transforms.images import decode
        from alphabeam.transforms.matting import MattingCore

        answer = core_answer(MattingCore(options.core).remove, decode)
    try:
        with running_emulator(
            port=options.port,
            public_key=options.public_key,
            private_key=options.private_key,
            task_seconds=options.task_seconds,
            slots=options.slots,
            credits=options.credits,
            seed=options.seed,
            faults=faults,
            answer=answer,
        ) as emulator:
            print(
                f"endpoint: {emulator.endpoint}\n"
                f"keys:     PICPIK_PUBLIC_KEY={options.public_key} "
                f"PICPIK_PRIVATE_KEY={options.private_key}\n"
                f"state:    curl -s {emulator.endpoint}/_emulator/state\n"
                "stop it with Ctrl-C",
                flush=True,
            )
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        print(f"the emulator cannot start: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
