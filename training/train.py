"""The training loop: Muon, a long plateau, cosine decay, averaged weights, growing pictures."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .checkpoint import CHECKPOINT, Run
from .compose import frame_of, make_sample
from .muon import Muon
from .network import CatalogueNet
from .pieces import Bank
from .start import start_from

__all__ = ["CONTINUED", "Plan", "train"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does; it is written beside the checkpoint.

    Attributes:
        samples: How many samples to learn from.
        batch: Samples a step.
        rate: Peak learning rate.
        decay: Weight decay.
        warmup: Steps until the rate has reached its peak.
        plateau: Share of the run at the peak rate; after it, cosine decay to nothing.
        sizes: From which share of the run on which longer side, pixels: what a thing is can be
            learnt from small pictures, in a fifth of the time.
        average: Decay of the averaged weights per step.
        frozen: Whether the batch norms keep the statistics that they began with: those of small
            pictures are others than those of the size at which the network is used.
        seed: Seed of everything.
    """

    samples: int = 236_000
    batch: int = 16
    rate: float = 4e-3
    decay: float = 0.02
    warmup: int = 200
    plateau: float = 0.45
    sizes: tuple[tuple[float, int], ...] = (
        (0.0, 192), (0.25, 256), (0.45, 320), (0.6, 416),
    )  # fmt: skip
    average: float = 0.998
    frozen: bool = False
    seed: int = 0

    def size_at(self, progress: float) -> int:
        """Longer side of the pictures at `progress` in 0..1."""
        return [size for start, size in self.sizes if progress >= start][-1]

    def rate_at(self, progress: float, step: int) -> float:
        """Learning rate at `progress` in 0..1, after the warm-up."""
        late = max(progress - self.plateau, 0) / (1 - self.plateau)
        return self.rate * min((step + 1) / self.warmup, 1) * (0.5 + 0.5 * math.cos(math.pi * late))


CONTINUED = Plan(
    samples=6_000, batch=12, rate=5e-4, warmup=30, plateau=0.3, sizes=((0.0, 224),),
    average=0.98, frozen=True,
)  # fmt: skip
"""For a run that goes on from an exported file: short and gentle."""


class _Batches(torch.utils.data.IterableDataset):
    def __init__(self, bank: Bank, plan: Plan, start: int) -> None:
        self.bank, self.plan, self.start = bank, plan, start

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        import cv2

        cv2.setNumThreads(0)
        plan = self.plan
        for first in range(self.start, plan.samples, plan.batch):
            h, w = frame_of(plan.seed, first, plan.size_at(first / plan.samples))
            samples = [
                make_sample(plan.seed, first + i, self.bank, h, w) for i in range(plan.batch)
            ]
            yield {
                name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
                for name in samples[0]
            }


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
) -> CatalogueNet:
    """Trains, or goes on with a run that was stopped, and returns the averaged network.

    Args:
        bank: What samples are made of.
        plan: What to do.
        work: Folder of ``checkpoint.pt`` and ``log.jsonl``, outside the repository.
        minutes: The run stops after this time, to be resumed by the same call.
        every: Seconds between checkpoints, each with a line in the log.
        start: An exported file to start from instead of from nothing.
        bfloat16: Whether the network computes in bfloat16; weights, loss and averages stay float32.

    Raises:
        TimeoutError: `minutes` have passed before the plan was done; the checkpoint is there.
        ValueError: The checkpoint belongs to another plan.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(plan.seed)
    net = CatalogueNet()
    if start is not None and not (work / CHECKPOINT).exists():
        pictures = (
            batch["image"].float() / 255 for batch in itertools.islice(_Batches(bank, plan, 0), 16)
        )
        print(f"started from {start}: {start_from(start, net, pictures)} layers", flush=True)
    net = net.to(device, memory_format=torch.channels_last)
    optimiser = Muon(net, plan.rate, plan.decay, ends=(net.head.weight, net.side.weight))
    run = Run(net, optimiser, dataclasses.asdict(plan), work, minutes, every)
    loader = torch.utils.data.DataLoader(
        _Batches(bank, plan, run.done), batch_size=None, num_workers=1, prefetch_factor=8
    )
    for module in net.modules():  # an exported file is taken up in evaluation
        module.train(not (plan.frozen and isinstance(module, torch.nn.BatchNorm2d)))
    sums: list[tuple[float, float]] = []
    for batch in loader:
        batch = {name: x.to(device) for name, x in batch.items()}
        image = batch["image"].to(memory_format=torch.channels_last).float() / 255
        progress, step = run.done / plan.samples, run.done // plan.batch
        rate = plan.rate_at(progress, step)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits, side = net(image)
        loss, iou = loss_of(logits.float(), side.float(), batch)
        run.learn(loss, rate, min(plan.average, (1 + step) / (10 + step)), plan.batch)
        sums.append((loss.item(), iou.item()))
        finished = run.done >= plan.samples
        if run.is_due() or finished:
            losses, ious = np.mean(sums, axis=0)
            sums.clear()
            line = {
                "samples": run.done,
                "size": max(image.shape[-2:]),
                "rate": round(rate, 6),
                "loss": round(float(losses), 4),
                "iou": round(float(ious), 4),
            }
            run.note(line, finished)
    averaged: CatalogueNet = run.averaged.eval()
    return averaged
