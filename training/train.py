"""The training loop: Muon, a long plateau, cosine decay, averaged weights, growing pictures."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import multiprocessing
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .checkpoint import CHECKPOINT, Run
from .compose import frame_of, make_sample
from .encoder import published_weights
from .muon import Muon
from .network import CatalogueNet
from .pieces import Bank
from .start import start_from

__all__ = ["PLANS", "Plan", "train"]

_Batch = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does; it is written beside the checkpoint.

    Attributes:
        samples: How many samples to make.
        batch: Samples a step.
        reuse: In how many steps a sample is learnt from, the later times mirrored and lit anew by
            chance. Where a GPU is faster than the processors that make samples, 2 or 3.
        rate: Peak learning rate; that of the pretrained encoder is a tenth of it.
        decay: Weight decay.
        warmup: Steps until the rate has reached its peak.
        plateau: Share of the run at the peak rate; after it, cosine decay to nothing.
        sizes: From which share of the run on which longer side, pixels: what a thing is can be
            learnt from small pictures, in a fifth of the time.
        enlarged: Of the steps on squares of the last size, the share that is a quarter larger, as
            the second look of a job is.
        average: Decay of the averaged weights per step.
        frozen: Whether the batch norms keep the statistics that they began with.
        deep: Whether of the encoder only what looks at large parts of the picture learns: on a CPU
            its other layers are slow to train.
        within: Minutes in which the schedule is to end, however few samples were made by then.
        seed: Seed of everything.
    """

    samples: int = 250_000
    batch: int = 16
    reuse: int = 1
    rate: float = 3e-3
    decay: float = 0.02
    warmup: int = 200
    plateau: float = 0.45
    sizes: tuple[tuple[float, int], ...] = ((0.0, 192), (0.25, 256), (0.45, 320), (0.6, 416))
    enlarged: float = 0.0
    average: float = 0.998
    frozen: bool = False
    deep: bool = False
    within: float | None = None
    seed: int = 0

    def size_at(self, progress: float) -> int:
        """Longer side of the pictures at `progress` in 0..1."""
        return [size for start, size in self.sizes if progress >= start][-1]

    def rate_at(self, progress: float, step: int) -> float:
        """Learning rate at `progress` in 0..1, after the warm-up."""
        late = max(progress - self.plateau, 0) / (1 - self.plateau)
        late = min(late, 1)
        return self.rate * min((step + 1) / self.warmup, 1) * (0.5 + 0.5 * math.cos(math.pi * late))


PLANS = {
    "cpu": Plan(),
    "gpu": Plan(
        samples=10**8, batch=72, reuse=3, rate=4e-3, warmup=150, plateau=0.3,
        sizes=((0.0, 416),), enlarged=0.15, average=0.9985, within=10,
    ),
    "continued": Plan(
        samples=40_000, batch=24, reuse=2, rate=1e-3, warmup=150, plateau=0.4,
        sizes=((0.0, 320), (0.6, 416)), enlarged=0.1, average=0.998, frozen=True, deep=True,
    ),
}  # fmt: skip
"""From the published encoder on two cores, or on one GPU within minutes; and a gentle one that goes
on from an exported file on a CPU."""


class _Batches(torch.utils.data.IterableDataset[_Batch]):
    """New samples, by several processes at once; which ones does not depend on how many."""

    def __init__(self, bank: Bank, plan: Plan, start: int, clock: Any) -> None:
        """Sets it up.

        Args:
            bank: What samples are made of.
            plan: The run's.
            start: Number of the first sample.
            clock: A shared float: the progress as far as the clock tells it.
        """
        self.bank, self.plan, self.start, self.clock = bank, plan, start, clock

    def __iter__(self) -> Iterator[_Batch]:
        import cv2

        cv2.setNumThreads(0)
        plan, count = self.plan, self.plan.batch // self.plan.reuse
        worker = torch.utils.data.get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for first in range(self.start + number * count, plan.samples, workers * count):
            h, w = frame_of(
                plan.seed, first, plan.size_at(max(first / plan.samples, self.clock.value))
            )
            samples = [make_sample(plan.seed, first + i, self.bank, h, w) for i in range(count)]
            yield {
                name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
                for name in samples[0]
            }


_KEPT = 12  # batches of each shape


class _Pool:
    """Batches seen of late, by shape, from which steps draw again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept: dict[tuple[int, ...], collections.deque[_Batch]] = {}

    def mix(self, fresh: _Batch, step: int) -> _Batch | None:
        """A step's batch: the new samples and as many earlier ones as the plan asks for.

        Returns:
            The batch; None while too few of this shape are there.
        """
        others = self._plan.reuse - 1
        if not others:
            return fresh
        dice = np.random.default_rng([self._plan.seed, step, 2])
        kept = self._kept.setdefault(fresh["alpha"].shape, collections.deque(maxlen=_KEPT))
        drawn = None
        if len(kept) >= others:
            parts = [kept[i] for i in dice.choice(len(kept), others, replace=False)]
            parts = [fresh, *(_varied(part, dice) for part in parts)]
            drawn = {name: torch.cat([part[name] for part in parts]) for name in fresh}
            h, w = fresh["alpha"].shape[1:]
            if h == w == self._plan.sizes[-1][1] and dice.random() < self._plan.enlarged:
                drawn = _enlarged(drawn)
        kept.append(fresh)
        return drawn


def _varied(batch: _Batch, dice: np.random.Generator) -> _Batch:
    """The same samples once more: some mirrored, all in another light."""
    count = len(batch["image"])
    device = batch["image"].device
    flipped = torch.from_numpy(dice.random(count) < 0.5).to(device)
    mirrored = {
        name: torch.where(flipped.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x) if x.ndim > 1 else x
        for name, x in batch.items()
    }
    gain = np.exp(dice.normal(0, 0.05, (count, 3, 1, 1)) + dice.normal(0, 0.08, (count, 1, 1, 1)))
    gamma = np.exp(dice.normal(0, 0.12, (count, 1, 1, 1)))
    gain, gamma = (torch.from_numpy(x).float().to(device) for x in (gain, gamma))
    image = 255 * (mirrored["image"].float() / 255) ** gamma * gain
    return {**mirrored, "image": image.round().clamp(0, 255).to(torch.uint8)}


def _enlarged(batch: _Batch) -> _Batch:
    """The same a quarter larger, in multiples of 32 pixels."""
    h, w = (round(1.25 * side / 32) * 32 for side in batch["alpha"].shape[1:])

    def resize(x: Tensor) -> Tensor:
        y = F.interpolate(x.float(), (h, w), mode="bilinear", align_corners=False)
        return y.round().clamp(0, 255).to(torch.uint8)

    planes = {name: resize(batch[name][:, None])[:, 0] for name in ("alpha", "weight")}
    return {**batch, **planes, "image": resize(batch["image"])}


def loss_of(logits: Tensor, side: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The loss, and the mean soft IoU to look at.

    Cross-entropy and soft IoU everywhere; where the alpha is exact, also its value and its
    gradients in L1, which is what makes edges crisp; cross-entropy again at stride 8.
    """
    target = batch["alpha"].float()[:, None] / 255
    weight = batch["weight"].float()[:, None] / 32
    exact = batch["exact"].float()[:, None, None, None]
    p = torch.sigmoid(logits)
    bce = F.binary_cross_entropy_with_logits(logits, target, weight) / weight.mean()
    inter = (weight * p * target).sum((1, 2, 3))
    union = (weight * (p + target - p * target)).sum((1, 2, 3))
    smooth = 0.002 * target[0].numel()
    iou = (inter + smooth) / (union + smooth)
    off = (p - target) * exact
    value = (off.abs() * weight).mean() / weight.mean()
    slope = (off.diff(dim=2).abs() * weight[:, :, 1:]).mean()
    slope = slope + (off.diff(dim=3).abs() * weight[..., 1:]).mean()
    coarse = F.binary_cross_entropy_with_logits(side, F.avg_pool2d(target, 8))
    loss = bce + (1 - iou).mean() + 2 * value + slope + 0.3 * coarse
    return loss, iou.mean().detach()


def train(
    bank: Bank,
    plan: Plan,
    work: pathlib.Path,
    minutes: float = math.inf,
    every: float = 60,
    start: pathlib.Path | None = None,
    bfloat16: bool = False,
    workers: int = 1,
) -> CatalogueNet:
    """Trains, or goes on with a run that was stopped, and returns the averaged network.

    Args:
        bank: What samples are made of.
        plan: What to do.
        work: Folder of ``checkpoint.pt`` and ``log.jsonl``, outside the repository.
        minutes: The run stops after this time, to be resumed by the same call.
        every: Seconds between checkpoints, each with a line in the log.
        start: An exported file to start from instead of from the published encoder.
        bfloat16: Whether the network computes in bfloat16; weights, loss and averages stay float32.
        workers: Processes that make samples.

    Raises:
        TimeoutError: `minutes` have passed before the plan was done; the checkpoint is there.
        ValueError: The checkpoint belongs to another plan.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(plan.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    net = CatalogueNet()
    clock = multiprocessing.Value("d", 0.0)
    if not (work / CHECKPOINT).exists():
        if start is None:
            net.encoder.load(published_weights())
        else:
            enough = -(-96 * plan.reuse // plan.batch)  # batches of samples, for their statistics
            batches = itertools.islice(_Batches(bank, plan, 0, clock), enough)
            pictures = (batch["image"].float() / 255 for batch in batches)
            print(f"started from {start}: {start_from(start, net, pictures)} layers", flush=True)
    net = net.to(device, memory_format=torch.channels_last)
    if plan.deep:
        net.encoder.thaw_deep()
    ends = (net.head.weight, net.side.weight)
    optimiser = Muon(net, plan.rate, plan.decay, ends, pretrained=net.encoder)
    run = Run(net, optimiser, dataclasses.asdict(plan), work, minutes, every)
    loader = torch.utils.data.DataLoader(
        _Batches(bank, plan, run.done, clock), batch_size=None, num_workers=workers,
        prefetch_factor=4,
    )  # fmt: skip
    for module in net.modules():  # an exported file is taken up in evaluation
        module.train(not (plan.frozen and isinstance(module, torch.nn.BatchNorm2d)))
    pool = _Pool(plan)
    sums: list[Tensor] = []
    fresh, begun = plan.batch // plan.reuse, time.monotonic()
    step = run.done // fresh
    for batch in loader:
        if plan.within:
            clock.value = (time.monotonic() - begun) / (60 * plan.within)
        progress = max(run.done / plan.samples, clock.value)
        batch = {name: x.to(device, non_blocking=True) for name, x in batch.items()}
        drawn = pool.mix(batch, step)
        step += 1
        if drawn is None:
            continue
        image = drawn["image"].to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits, side = net(image)
        loss, iou = loss_of(logits.float(), side.float(), drawn)
        keep = min(plan.average, (1 + step) / (10 + step))
        run.learn(loss, plan.rate_at(progress, step), keep, fresh)
        sums.append(torch.stack([loss.detach(), iou]))
        finished = run.done >= plan.samples or progress >= 1
        if run.is_due() or finished:
            losses, ious = torch.stack(sums).mean(dim=0).tolist()
            line = {
                "samples": run.done,
                "steps": len(sums),
                "size": max(image.shape[-2:]),
                "rate": round(plan.rate_at(progress, step), 6),
                "loss": round(losses, 4),
                "iou": round(ious, 4),
            }
            sums.clear()
            run.note(line, finished)
        if finished:
            break
    averaged: CatalogueNet = run.averaged.eval()
    return averaged
