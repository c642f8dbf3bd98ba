"""Several processes that talk by gloo on the CPU, each running the same function of a test."""

import os
import pickle
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing


def on_ranks(size: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(*args)` gives on each of `size` ranks; `folder` is for files of their own."""
    return _started(_join, size, folder, function, args)


def as_torchrun_does(size: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """The same, but the processes only know what torchrun says of their group, and join it themselves."""
    agent = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    return _started(_launch, size, folder, function, args, agent.port)


def _started(
    start: Callable[..., None], size: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...], *more: Any
) -> list[Any]:
    folder.mkdir(parents=True, exist_ok=True)
    pickled = pickle.dumps((function, args))  # as they are: torch's own way would share the tensors' memory
    torch.multiprocessing.spawn(start, (size, folder, pickled, *more), nprocs=size)
    return [pickle.loads((folder / f"result_{rank}").read_bytes()) for rank in range(size)]


def _join(rank: int, size: int, folder: Path, pickled: bytes) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size, timeout=timedelta(seconds=600)
    )
    _run(rank, folder, pickled)
    while not all((folder / f"result_{each}").exists() for each in range(size)):
        time.sleep(0.01)
    torch.distributed.destroy_process_group()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(0)  # gloo's threads may yet let go of their last tensors, which aborts a Python that comes to its end


def _launch(rank: int, size: int, folder: Path, pickled: bytes, port: int) -> None:
    torch.set_num_threads(1)
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    said["TORCHELASTIC_USE_AGENT_STORE"] = True
    os.environ.update({name: str(value) for name, value in said.items()})
    _run(rank, folder, pickled)


def _run(rank: int, folder: Path, pickled: bytes) -> None:
    function, args = pickle.loads(pickled)
    (folder / f"result_{rank}").write_bytes(pickle.dumps(function(*args)))
