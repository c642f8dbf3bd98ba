"""A model whose weights, gradients and optimizer state are shared out over the ranks (FSDP2).

Zhao et al., 2023; torch's `fully_shard`. A *block* is what is gathered, computed and let go as one.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.modules.batchnorm import _BatchNorm

from labwright.args.errors import UserError
from labwright.train.precision import AUTOCAST_DTYPES, Precision

ResultT = TypeVar("ResultT")

MIN_BLOCK = 1_000_000
"""Numbers that a block has at least: smaller ones cost more in messages than they save in memory."""


class ShardedModel(nn.Module):
    """Holds a model of which each rank keeps a part of every weight, and calls functions that compute with it.

        parallel = ShardedModel(model, device, "bf16")
        optimizer = AdamW(model.parameters())        # its state is shared out like the weights
        loss = parallel(compute_loss, batch)

    The model stays the plain module that it was, its state dict has the same names, and all that calls it or its
    blocks within the function has whole weights to compute with. Every rank must make the same calls: weights are
    gathered in them. Gradients are averaged over the ranks in `backward`.

    Raises:
        UserError: the model cannot be shared out.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        precision: Precision = "fp32",
        *,
        min_block: int = MIN_BLOCK,
    ) -> None:
        super().__init__()
        _refuse(model)
        self.model = model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        self.mesh = mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
        policy = MixedPrecisionPolicy(cast_forward_inputs=False)  # autocast does, where it should
        if precision != "fp32":  # weights travel in 16 bits; gradients are summed in 32
            normal = policy
            policy = MixedPrecisionPolicy(
                param_dtype=AUTOCAST_DTYPES[precision], reduce_dtype=torch.float32, cast_forward_inputs=False
            )
            for module in model.modules():
                if isinstance(module, _BatchNorm):  # it computes with its statistics, which stay in 32 bits
                    fully_shard(module, mesh=mesh, mp_policy=normal)
        for block in blocks_of(model, min_block):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(self, mesh=mesh, mp_policy=policy)
        self._let_go_after_forward()
        self._buffers_differ = self._has_held = self._is_whole = False
        with self.whole(), torch.no_grad():
            self(int)  # or the block that is called first would take itself for the root

    def forward(self, function: Callable[..., ResultT], *args: Any, **kwargs: Any) -> ResultT:
        return function(*args, **kwargs)

    def __call__(self, function: Callable[..., ResultT], *args: Any, **kwargs: Any) -> ResultT:
        """`function(*args, **kwargs)`, with the model's weights gathered for it."""
        if self._buffers_differ:
            self._take_buffers_of_rank_0()
        self._buffers_differ = self.model.training
        try:
            return super().__call__(function, *args, **kwargs)
        except RuntimeError as error:
            if "mixed torch.Tensor and DTensor" not in str(error):
                raise
            raise UserError(
                "--strategy=fsdp: a weight of a block is used where the block is not called, so it was not gathered; "
                f"call blocks as modules, or use --strategy=ddp ({str(error).splitlines()[0]})"
            ) from error

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A block in which every rank has all weights, so that the model can be called without the other ranks.

        To evaluate, not to train. All ranks must enter it.
        """
        if self._is_whole:
            yield
            return
        blocks = [module for module in self.modules() if isinstance(module, FSDPModule)]
        self.root.set_reshard_after_forward(False)
        for block in blocks:
            block.unshard()
        if self._buffers_differ:
            self._take_buffers_of_rank_0()
        self._is_whole = True
        try:
            yield
        finally:
            self._is_whole = False
            for block in blocks:
                block.reshard()
            self._let_go_after_forward()

    @property
    def root(self) -> FSDPModule:
        assert isinstance(self, FSDPModule)
        return self

    def hold_gradients(self, is_held: bool) -> None:
        """Whether the next `backward` only adds to this rank's gradients, which a later one averages over the ranks."""
        self._has_held = is_held
        self.root.set_requires_gradient_sync(not is_held)

    def drop_gradients(self) -> None:
        """Forget gradients that were held for a window that was broken off; all ranks must do so."""
        if self._has_held:
            self.hold_gradients(False)
            self(torch.zeros, (), requires_grad=True).backward()  # one without any hands them over
            self.zero_grad()

    def _take_buffers_of_rank_0(self) -> None:
        """Statistics such as those of a BatchNorm are of each rank's own samples: the first rank's count, as in DDP."""
        for buffer in self.model.buffers():
            torch.distributed.broadcast(buffer, 0)
        self._buffers_differ = False

    def _let_go_after_forward(self) -> None:
        """Blocks are let go between forward and backward; what no block has is wanted at once, and stays."""
        self.root.set_reshard_after_forward(True)
        self.root.set_reshard_after_forward(False, recurse=False)


def blocks_of(model: nn.Module, min_block: int) -> list[nn.Module]:
    """The modules that become blocks, innermost first: members of a ModuleList or Sequential that are large enough.

    What no block has belongs to the whole. Members of other modules stay there: those may use a member's weights
    without calling it. So do members that share a weight with something outside them.
    """
    uses = Counter(parameter for _, parameter in model.named_parameters(remove_duplicate=False))
    taken: set[nn.Parameter] = set()
    return list(_blocks_within(model, min_block, uses, taken))


def _blocks_within(
    module: nn.Module, min_block: int, uses: Counter[nn.Parameter], taken: set[nn.Parameter]
) -> Iterator[nn.Module]:
    for member in module.children():
        yield from _blocks_within(member, min_block, uses, taken)
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        if isinstance(member, nn.ModuleList | nn.ModuleDict | FSDPModule):
            continue
        inside = Counter(parameter for _, parameter in member.named_parameters(remove_duplicate=False))
        left = inside.keys() - taken
        if sum(parameter.numel() for parameter in left) < min_block:
            continue
        if all(inside[parameter] == uses[parameter] for parameter in left):
            taken |= left
            yield member


def _refuse(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim == 0:
            raise UserError(f"--strategy=fsdp cannot share out {name}, a single number; give it the shape [1]")
