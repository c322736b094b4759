"""A run that can be stopped: network, averaged twin and optimiser, kept on disk, with a log."""

from __future__ import annotations

import copy
import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["CHECKPOINT", "Run"]

CHECKPOINT = "checkpoint.pt"
"""Its name in a run's folder."""

_Net = TypeVar("_Net", bound=nn.Module)


class Run(Generic[_Net]):
    """What a training loop does besides learning.

    Attributes:
        net: The network.
        averaged: The same with its weights averaged over the steps, which is what is shipped.
        optimiser: Its optimiser.
        done: Samples or steps behind it.
    """

    def __init__(
        self,
        net: _Net,
        optimiser: torch.optim.Optimizer,
        plan: Mapping[str, Any],
        work: pathlib.Path,
        minutes: float = math.inf,
        every: float = 60,
    ) -> None:
        """Starts a run, or takes up the one that was stopped.

        Args:
            net: The network, on its device.
            optimiser: Of the network's parameters.
            plan: What the run does, of JSON's types.
            work: Folder of ``checkpoint.pt`` and ``log.jsonl``.
            minutes: The run stops after this time.
            every: Seconds between notes.

        Raises:
            ValueError: The checkpoint in the folder belongs to another plan.
        """
        self.net, self.optimiser, self.done = net, optimiser, 0
        self.averaged = copy.deepcopy(net).requires_grad_(False)
        self._plan = json.loads(json.dumps(plan))
        self._work, self._file = work, work / CHECKPOINT
        self._minutes, self._every = minutes, every
        self._begun = self._noted = time.monotonic()
        work.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            device = next(net.parameters()).device
            state = torch.load(self._file, map_location=device, weights_only=True)
            if state["plan"] != self._plan:
                raise ValueError(
                    f"{self._file} is of the plan {state['plan']}, not {self._plan}: "
                    "give the same options, or another --work"
                )
            net.load_state_dict(state["net"])
            self.averaged.load_state_dict(state["averaged"])
            optimiser.load_state_dict(state["optimiser"])
            self.done = state["done"]
            print(f"resumed at {self.done}", flush=True)

    def learn(self, loss: Tensor, rate: float, keep: float, count: int = 1) -> None:
        """One step down the loss.

        Args:
            loss: Of the network's answers.
            rate: Learning rate.
            keep: Share of the averaged weights that stays.
            count: How far the step brings the run.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.done += count
        with torch.no_grad():
            pairs = zip(
                self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True
            )
            moving = [(mean, now) for mean, now in pairs if mean.dtype.is_floating_point]
            means, nows = zip(*moving, strict=True)
            torch._foreach_lerp_(means, nows, 1 - keep)

    def is_due(self) -> bool:
        """Whether it is time for a note."""
        return time.monotonic() - self._noted >= self._every

    def note(self, figures: Mapping[str, Any], finished: bool) -> None:
        """Prints and logs a line of figures and the minutes so far, and saves the checkpoint.

        Args:
            figures: What to say.
            finished: Whether the run's plan is done.

        Raises:
            TimeoutError: The run's minutes have passed before it was finished.
        """
        self._noted = time.monotonic()
        minutes = (self._noted - self._begun) / 60
        line = json.dumps({**figures, "minutes": round(minutes, 2)})
        print(line, flush=True)
        with (self._work / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        state = {
            "plan": self._plan,
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "done": self.done,
        }
        torch.save(state, self._file.with_suffix(".part"))
        self._file.with_suffix(".part").replace(self._file)
        if minutes >= self._minutes and not finished:
            raise TimeoutError(f"stopped after {self._minutes} minutes at {self.done}; run again")
