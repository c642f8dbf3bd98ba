"""`Group`: several processes that torchrun started, joined by torch.distributed."""

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

# Functions there have `group=group.WORLD`. DDP imports it, by torch._dynamo: the group of that moment would live on in
# their defaults, and so would its threads, which may abort a process that exits.
import torch.distributed.nn
from torch import Tensor, nn
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from labwright.args.errors import UserError

from .world import RankLost, World, launched_rank, launched_size, num_restarts, on_cpu

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0
"""How long a rank waits for the others within an operation that all take part in."""
_LET_GO_SECONDS = 10.0
"""What gloo's threads get at most to let go of their last tensors."""
_LOOK_SECONDS = 1.0
"""How often a rank that waits for another looks whether it is still there."""
_joined = count()
_stores: dict[tuple[str, int], TCPStore] = {}


def job_store() -> TCPStore:
    """The store of torchrun's agent, which outlives the processes that it starts anew."""
    address = os.environ.get("MASTER_ADDR", "localhost"), int(os.environ.get("MASTER_PORT", "29500"))
    if address not in _stores:
        is_master = launched_rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        _stores[address] = TCPStore(
            *address, launched_size(), is_master, timedelta(seconds=TIMEOUT_SECONDS), wait_for_workers=False
        )
    return _stores[address]


def remember(key: str, value: str) -> None:
    """Leave word for the processes that torchrun may start after these."""
    job_store().set(key, value)


def recall(key: str) -> str | None:
    """What the processes before these left."""
    store = job_store()
    return store.get(key).decode() if store.check([key]) else None


def join(choose_device: Callable[[], torch.device]) -> "Group":
    """The ranks of this job, once each has asked for it and has a device. `Group.leave` ends it.

    Raises:
        UserError: there is none for one of them.
    """
    return Group(launched_rank(), launched_size(), choose_device)


class Group(World):
    """Several ranks; what each method says, all of them must ask for in the same order."""

    def __init__(self, rank: int, size: int, choose_device: Callable[[], torch.device]) -> None:
        self.rank, self.size = rank, size
        self._store = PrefixStore(f"labwright/{num_restarts()}/{next(_joined)}", job_store())
        self._num_calls = 0
        self._num_refusals = 0
        self._is_refusing = False
        self._processes: dict[int, tuple[str, int]] = {}
        self._tell(f"process/{rank}", (socket.gethostname(), os.getpid()))
        for each in range(size):
            self._processes[each] = self._read(f"process/{each}")
        with self.refusing_together():
            device = choose_device()
        self._owns_group = not dist.is_initialized()
        if self._owns_group:
            dist.init_process_group(
                "gloo" if device.type == "cpu" else f"cpu:gloo,{device.type}:{_backend_of(device)}",
                store=PrefixStore("group", self._store),
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=TIMEOUT_SECONDS),
            )

    def leave(self) -> None:
        """Take the group down; only where all ranks do."""
        if self._owns_group:
            dist.destroy_process_group()
            _let_gloo_rest()

    def on_main(self, function: Callable[[], T]) -> T:
        self._num_calls += 1
        key = f"main/{self._num_calls}"
        if self.rank == 0:
            try:
                result: Any = function()
            except UserError as error:
                self._tell(key, ("error", str(error)))
                raise
            self._tell(key, ("result", result))
            return result
        kind, value = self._hear(key)
        if kind == "error":
            raise UserError(value)
        return cast(T, value)

    def same(self, value: T) -> T:
        return self.on_main(lambda: value)

    def gather(self, value: T) -> list[T]:
        found: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(on_cpu(value), found)
        return found or []

    def sum(self, values: list[float]) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def begin_sum(self, values: list[float]) -> Callable[[], list[float]]:
        """Sum numbers over the ranks while something else is done; what is returned waits for the sums."""
        total = torch.tensor(values, dtype=torch.float64)
        work = dist.all_reduce(total, async_op=True)

        def answer() -> list[float]:
            if work is not None:
                work.wait()
            return total.tolist()

        return answer

    def sum_tensor(self, total: Tensor) -> None:
        """Sum a tensor over the ranks, in place."""
        dist.all_reduce(total)

    def sync_buffers(self, model: nn.Module) -> None:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        self._num_calls += 1
        key = f"first/{self._num_calls}"
        if self.rank != 0:
            self._hear(key)
            yield
            return
        try:
            yield
        finally:
            self._tell(key, None)

    @contextmanager
    def refusing_together(self) -> Iterator[None]:
        own: UserError | None = None
        self._num_refusals += 1
        self._is_refusing = True
        try:
            yield
        except UserError as error:
            if not self._is_refusing:  # of `refuse_so_far`: all know
                raise
            own = error
        finally:
            self._is_refusing = False
        self._share_refusal(own)

    def refuse_so_far(self) -> None:
        self._is_refusing = False
        self._share_refusal(None)
        self._num_refusals += 1
        self._is_refusing = True

    def _share_refusal(self, own: UserError | None) -> None:
        """Raise the refusal of any rank, once all have come here."""
        self._tell(self._refusal_of(self.rank), None if own is None else str(own))
        texts = [self._read(self._refusal_of(rank)) for rank in range(self.size)]
        if own is not None and self.rank == 0:
            raise own
        for rank, text in enumerate(texts):
            if text is not None:
                raise UserError(text if rank == 0 else f"rank {rank}: {text}") from own

    @contextmanager
    def watching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, RankLost) or not _is_of_communication(error):
                raise
            raise RankLost(self._describe_loss()) from error

    def claims_last_word(self) -> bool:
        """Whether this rank is the one to say that another was lost; rank 0 is asked first, where it is there."""
        if self.rank != 0:
            time.sleep(2.0)
        try:
            return self._store.add("last word", 1) == 1
        except RuntimeError:  # the store is gone too
            return True

    def confess(self, error: BaseException) -> None:
        """Leave word of why this rank ends, for those who lose it."""
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        try:
            self._store.set(f"failed/{self.rank}", text)
        except RuntimeError:
            return

    def _refusal_of(self, rank: int) -> str:
        return f"refused/{self._num_refusals}/{rank}"

    def _describe_loss(self) -> str:
        deadline = time.monotonic() + 3.0
        while time.monotonic() < deadline:
            lost = self.whom_we_lost()
            if lost is not None:
                return lost
            time.sleep(0.05)
        return f"another of the {self.size} ranks is gone, or was not heard of for {TIMEOUT_SECONDS:.0f} seconds"

    def whom_we_lost(self) -> str | None:
        """Who is known to have ended, in words."""
        for rank in range(self.size):
            if rank == self.rank:
                continue
            if self._store.check([f"failed/{rank}"]):
                return f"rank {rank} of {self.size} failed: {self._store.get(f'failed/{rank}').decode()}"
            if not self._is_there(rank):
                return f"rank {rank} of {self.size} is gone: it was killed or crashed"
        return None

    def _is_there(self, rank: int) -> bool:
        """Whether the process of a rank lives, as far as can be seen from this machine."""
        host, process = self._processes.get(rank, (None, 0))
        return host != socket.gethostname() or is_running(process)

    def _tell(self, key: str, value: Any) -> None:
        data: Any = pickle.dumps(value)  # the stubs know of texts alone
        self._store.set(key, data)

    def _hear(self, key: str) -> Any:
        """What rank 0 told; the last to hear it takes it from the store."""
        value = self._read(key)
        if self._store.add(f"{key}/heard", 1) == self.size - 1:
            self._store.delete_key(key)
            self._store.delete_key(f"{key}/heard")
        return value

    def _read(self, key: str) -> Any:
        """What `_tell` told; another rank of this job did, as with torch's own exchange of objects."""
        return pickle.loads(self._get(key))

    def _get(self, key: str) -> bytes:
        # Not the store's own wait: it ends after a time, and hears no signal meanwhile.
        pause, looked_at = 0.0005, time.monotonic()
        while not self._store.check([key]):
            if self._is_refusing and self._store.check([self._refusal_of(0)]) and not self._store.check([key]):
                raise UserError("rank 0 refuses")  # which says why, to all
            if time.monotonic() - looked_at > _LOOK_SECONDS:
                lost, looked_at = self.whom_we_lost(), time.monotonic()
                if lost is not None and not self._store.check([key]):
                    raise RankLost(lost)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return self._store.get(key)


def is_running(process: int) -> bool:
    """Whether the process with this id has not ended, as far as can be seen."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # who started it may take its time to ask how it ended; so long it is a zombie
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return True


def _let_gloo_rest() -> None:
    """Until gloo's threads sleep, where caches of torch (FSDP's) keep them from ending.

    To let go of their last tensors they need the interpreter: asked for while that comes to its end, torch aborts.
    """
    ends, num_asleep = time.monotonic() + _LET_GO_SECONDS, 0
    while num_asleep < 3 and time.monotonic() < ends:
        time.sleep(0.02)  # the interpreter is theirs: who waits for it comes to run, or is seen to be about to
        num_asleep = 0 if _is_gloo_at_work() else num_asleep + 1


def _is_gloo_at_work() -> bool:
    """Whether one of its threads runs, or would if there were a processor free; False where nobody says."""
    for path in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):
            name, _, state = path.read_text().partition("(")[2].rpartition(") ")
            if "gloo" in name and state[0] != "S":
                return True
    return False


def _backend_of(device: torch.device) -> str:
    return {"cuda": "nccl", "xpu": "xccl"}.get(device.type, "gloo")


def _is_of_communication(error: RuntimeError) -> bool:
    text = str(error)
    signs = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "TCPStore", "Broken pipe")
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)
