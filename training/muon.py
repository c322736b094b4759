"""Muon: momentum whose steps are made orthogonal, for the kernels of convolutions.

Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024); steps are scaled to
the length of AdamW's as in Liu et al., Muon is scalable for LLM training (2025). PyTorch's own
takes matrices only, and kernels have four axes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Muon"]

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Jordan's quintic: five rounds bring every singular value to about 1."""
_MOMENTUM = 0.95


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all about 1 (0.7 to 1.2).

    The rounds turn the small square Gram matrix only; what they come to turns the long one once.
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    gram, turned = x @ x.T, None
    for last in (False, False, False, False, True):
        turn = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        turn.diagonal().add_(a)
        turned = turn if turned is None else turn @ turned
        if not last:
            gram = turn @ (turn @ gram)
    x = turned @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW (Loshchilov & Hutter, ICLR 2019) for all else, in one optimiser."""

    def __init__(
        self,
        net: nn.Module,
        rate: float,
        decay: float,
        ends: Iterable[Tensor] = (),
        pretrained: nn.Module | None = None,
        gentle: float = 0.1,
    ) -> None:
        """Sets it up.

        Args:
            net: Whose parameters to move.
            rate: Learning rate of both.
            decay: Weight decay of all weights of two axes or more.
            ends: Kernels that AdamW moves too: of the layers whose outputs are answers.
            pretrained: A part of the network that has learnt already; AdamW moves all of it.
            gentle: Share of the learning rate at which the pretrained part moves.
        """
        answering = {id(p) for p in ends}
        learnt = {id(p) for p in pretrained.parameters()} if pretrained is not None else set()
        groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
        for p in (p for p in net.parameters() if p.requires_grad):
            known = id(p) in learnt
            kernel = p.ndim > 1 and id(p) not in answering and not known
            key = (kernel, decay if p.ndim > 1 else 0.0, gentle if known else 1.0)
            groups.setdefault(key, []).append(p)
        super().__init__(
            [
                {"params": params, "kernels": kernels, "weight_decay": decay, "share": share}
                for (kernels, decay, share), params in groups.items()
            ],
            {"lr": rate},
        )

    def step(self, closure: None = None) -> None:
        """One step, by the gradients that are there."""
        with torch.no_grad():
            for group in self.param_groups:
                rate, params = group["lr"] * group["share"], group["params"]
                torch._foreach_mul_(params, 1 - rate * group["weight_decay"])
                if group["kernels"]:
                    moves = [self._orthogonal(p) for p in params]
                else:
                    moves = self._adam(params)
                torch._foreach_add_(params, moves, alpha=-rate)

    def _orthogonal(self, p: Tensor) -> Tensor:
        mean = self._remembered(p, "mean").lerp_(p.grad, 1 - _MOMENTUM)
        step = orthogonal(p.grad.lerp(mean, _MOMENTUM).flatten(1))
        return step.reshape(p.shape) * (0.2 * max(step.shape) ** 0.5)

    def _adam(self, params: list[Tensor]) -> list[Tensor]:
        one, two = 0.9, 0.999
        grads = [p.grad for p in params]
        means = [self._remembered(p, "mean") for p in params]
        squares = [self._remembered(p, "square") for p in params]
        torch._foreach_lerp_(means, grads, 1 - one)
        torch._foreach_mul_(squares, two)
        torch._foreach_addcmul_(squares, grads, grads, 1 - two)
        state = self.state[params[0]]
        taken = state["taken"] = state.get("taken", 0) + 1
        lengths = torch._foreach_div(squares, 1 - two**taken)
        torch._foreach_sqrt_(lengths)
        torch._foreach_add_(lengths, 1e-8)
        moves = list(torch._foreach_div(means, lengths))
        torch._foreach_div_(moves, 1 - one**taken)
        return moves

    def _remembered(self, p: Tensor, name: str) -> Tensor:
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        return state[name]
