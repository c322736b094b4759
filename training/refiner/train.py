"""The refiner's training loop: Muon, cosine decay, averaged weights."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alphabeam.transforms.matting.trimap import UNKNOWN

from ..checkpoint import Run
from ..muon import Muon
from .examples import PLANES, features
from .network import RefinerNet

__all__ = ["Plan", "loss_of", "train"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        steps: How many steps.
        batch: Crops a step.
        side: Side of a crop, pixels, a multiple of 4.
        rate: Peak learning rate, reached after 100 steps.
        decay: Weight decay.
        average: Decay of the averaged weights per step.
        seed: Seed of the weights and of the crops.
    """

    steps: int = 24_000
    batch: int = 16
    side: int = 96
    rate: float = 2.5e-3
    decay: float = 1e-4
    average: float = 0.998
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        fall = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return self.rate * min(1, (step + 1) / 100) * fall


def _crop(rng: np.random.Generator, path: pathlib.Path, side: int) -> np.ndarray:
    """A crop with some of the unknown band in it, if twenty tries find one."""
    planes = np.load(path, mmap_mode="r")
    for _ in range(20):
        y, x = (int(rng.integers(n - side + 1)) for n in planes.shape[1:])
        crop = planes[:, y : y + side, x : x + side]
        if (crop[PLANES["trimap"]] == UNKNOWN).mean() > 0.12:
            break
    return np.array(crop)


def _turn(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Mirrored, transposed, its colour channels in another order."""
    if rng.random() < 0.5:
        crop = crop[:, :, ::-1]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.5:
        crop = crop.transpose(0, 2, 1)
    if rng.random() < 0.5:
        order, swapped = rng.permutation(3), crop.copy()
        for name in ("image", "fore", "back"):
            swapped[PLANES[name]] = crop[PLANES[name]][order]
        crop = swapped
    return np.ascontiguousarray(crop)


def _batch(plan: Plan, step: int, paths: list[pathlib.Path]) -> np.ndarray:
    """The crops of a step: a function of seed, step and the examples alone."""
    rng = np.random.default_rng([plan.seed, step])
    chosen = rng.integers(len(paths), size=plan.batch)
    return np.stack([_turn(rng, _crop(rng, paths[i], plan.side)) for i in chosen])


def _tensors(planes: np.ndarray, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Features, truth and the unknown band, 1 there and 0 elsewhere."""
    truth = planes[:, PLANES["truth"]].astype(np.float32) / 255
    band = (planes[:, PLANES["trimap"]] == UNKNOWN).astype(np.float32)
    inputs = torch.from_numpy(features(planes)).to(device, memory_format=torch.channels_last)
    return inputs, torch.from_numpy(truth).to(device), torch.from_numpy(band).to(device)


def loss_of(alpha: Tensor, truth: Tensor, band: Tensor) -> Tensor:
    """Over the unknown band: absolute error, root mean square, and both again of the slopes.

    The slopes' squares are taken of the error smoothed a little, as the gradient error of Rhemann
    et al. (CVPR 2009) takes them.

    Args:
        alpha: N x 1 x H x W, what the network said.
        truth: Likewise, the true alpha.
        band: Likewise, 1 where the trimap is unknown and 0 elsewhere.
    """
    off = (alpha - truth) * band
    count = band.sum().clamp(min=1)
    slopes = off.diff(dim=2).abs().sum() + off.diff(dim=3).abs().sum()
    smooth = F.avg_pool2d(F.avg_pool2d(off, 3, 1, 1), 3, 1, 1)
    steep = (smooth.diff(dim=2) ** 2).sum() + (smooth.diff(dim=3) ** 2).sum()
    # The tiny terms keep the roots' slopes finite where nothing is wrong.
    square = ((off**2).sum() / count + 1e-12).sqrt()
    return (off.abs().sum() + 0.5 * slopes) / count + 0.25 * square + (steep / count + 1e-12).sqrt()


def _difference(net: RefinerNet, crops: tuple[Tensor, Tensor, Tensor]) -> float:
    inputs, truth, band = crops
    with torch.no_grad():
        off = (net(inputs).clamp(0, 1) - truth).abs() * band
    return float(off.sum() / band.sum().clamp(min=1))


def train(
    paths: list[pathlib.Path],
    held_out: list[pathlib.Path],
    plan: Plan,
    work: pathlib.Path,
    minutes: float = math.inf,
    every: float = 60,
) -> RefinerNet:
    """Trains, or goes on with a run that was stopped, and returns the averaged network.

    Args:
        paths: Files of the examples to learn from.
        held_out: Files of the examples to look at only; a crop of each is measured in the log.
        plan: What to do.
        work: Folder of ``checkpoint.pt`` and ``log.jsonl``, outside the repository.
        minutes: The run stops after this time, to be resumed by the same call.
        every: Seconds between checkpoints, each with a line in the log.

    Raises:
        TimeoutError: ``minutes`` have passed before the plan was done; the checkpoint is there.
        ValueError: The checkpoint belongs to another plan.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(plan.seed)
    net = RefinerNet().to(device, memory_format=torch.channels_last)
    optimiser = Muon(net, plan.rate, plan.decay, ends=[net.head.weight])
    described = {**dataclasses.asdict(plan), "examples": len(paths)}
    run = Run(net, optimiser, described, work, minutes, every)
    rng = np.random.default_rng(plan.seed)
    looked_at = _tensors(np.stack([_crop(rng, path, plan.side) for path in held_out]), device)
    losses: list[float] = []
    while run.done < plan.steps:
        inputs, truth, band = _tensors(_batch(plan, run.done, paths), device)
        loss = loss_of(net(inputs), truth, band)
        keep = min(plan.average, (run.done + 1) / (run.done + 21))
        run.learn(loss, plan.rate_at(run.done), keep)
        losses.append(loss.item())
        finished = run.done >= plan.steps
        if run.is_due() or finished:
            line = {
                "step": run.done,
                "loss": round(float(np.mean(losses)), 4),
                "held_out": round(_difference(run.averaged, looked_at), 5),
            }
            losses.clear()
            run.note(line, finished)
    averaged: RefinerNet = run.averaged.eval()
    return averaged
