"""Ranks: processes that play one game together, each with its shares of every batch.

They are started by torchrun, which tells each its number. What all of them must agree on goes
through here: gradients, statistics, batch norm's moments, when to stop.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gannet.errors import UserError

TIMEOUT = timedelta(minutes=10)  # for a rank whose machine vanished without closing its connections
PATIENCE = timedelta(days=7)  # while the first rank decodes the images, or measures samples
SESSIONS = itertools.count()  # of this process: each has its own names in the store
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets


class RankLostError(UserError):
    """Another rank ended before its time."""

    status = 1


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is; one alone by default."""

    rank: int = 0
    num: int = 1
    local: int = 0
    """Its number on this machine."""
    store: Any = None
    """torch's key-value store, which outlives a rank that died."""

    def __deepcopy__(self, memo: Any) -> "Ranks":
        return self

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def shares(self, num_shares: int) -> range:
        """Which shares of a batch that is cut into `num_shares` are this rank's."""
        own = num_shares // self.num
        return range(self.rank * own, (self.rank + 1) * own)

    def sum_(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place. Raises `RankLostError` when one of them died."""
        if self.num > 1:
            self._together(lambda: dist.all_reduce(tensor))
        return tensor

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor its mean over the ranks: one reduction, in the order in which they stand."""
        if self.num == 1 or not tensors:
            return
        flat = self.sum_(torch.cat([tensor.reshape(-1) for tensor in tensors])).div_(self.num)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag stands on any rank: the same answer on all."""
        return bool(self.sum_(torch.tensor(int(flag))).item())

    def gather(self, values: Tensor) -> Tensor:
        """The values of all ranks, `[num, *]`."""
        every = values.new_zeros(self.num, *values.shape)
        every[self.rank] = values
        return self.sum_(every)

    def broadcast(self, data: bytes) -> bytes:
        """The first rank's bytes, on every rank."""
        if self.num == 1:
            return data
        size = int(self.sum_(torch.tensor(len(data) if self.first else 0)).item())
        content = torch.zeros(size, dtype=torch.uint8)
        if self.first:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else content)
        self._together(lambda: dist.broadcast(content, 0))
        return content.numpy().tobytes()

    def publish(self, name: str, text: str) -> None:
        """The first rank's word, which the others wait for with `published`."""
        if self.num > 1:
            self._together(lambda: self.store.set(name, text))

    def published(self, name: str) -> str:
        """What the first rank publishes under that name, however long it takes."""
        self._together(lambda: self.store.wait([name], PATIENCE))
        return self.store.get(name).decode()

    def await_first(self, what: str) -> None:
        """On the others: returns when the first rank has called it too, however long that takes.

        `what` names the moment, which a session has once.
        """
        if self.first:
            self.publish(what, "")
        else:
            self.published(what)

    def wait_for_all(self) -> None:
        """Returns when every rank has called it, however long that takes."""
        if self.num > 1:
            self._together(lambda: self.store.set(f"ready {self.rank}", ""))
            self._together(lambda: self.store.wait([f"ready {rank}" for rank in range(self.num)], PATIENCE))

    def _together(self, what: Callable[[], object]) -> None:
        try:
            what()
        except RuntimeError as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise RankLostError(
                "another rank died, and the run cannot go on without it: it is saved up to its last checkpoint, and"
                f" gannet resume goes on from there ({reason})"
            ) from error


ALONE = Ranks()


class AllReduce(torch.autograd.Function):
    """The sum over all ranks, differentiable as often as one likes: its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum_(tensor.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return AllReduce.apply(gradients[0].contiguous(), ctx.ranks), None


@contextlib.contextmanager
def launched() -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone.

    Where several end with an error, the first of them to do so says why, and the others are silent.
    """
    if any(name not in os.environ for name in LAUNCHED) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    store, rank, num = next(iter(dist.rendezvous("env://")))
    store = dist.PrefixStore(f"session {next(SESSIONS)}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=dist.PrefixStore("group", store), rank=rank, world_size=num, timeout=TIMEOUT)
    try:
        yield Ranks(rank, num, int(os.environ.get("LOCAL_RANK", rank)), store)
    except BaseException as error:
        with contextlib.suppress(RuntimeError):  # the store may be gone as well
            if store.add("ended by an error", 1) > 1 and isinstance(error, UserError):
                error.args = ("",)
        raise
    dist.destroy_process_group()
