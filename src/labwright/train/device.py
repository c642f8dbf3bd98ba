"""Which device a run uses, and what can be said of it."""

import sys

import torch

from labwright.args.errors import UserError


def choose_device(use_cuda: bool | None, *, local_rank: int | None = None) -> torch.device:
    """The device to train on.

    None takes an accelerator (CUDA, ROCm, MPS, XPU) if there is one, False takes the CPU, True requires an accelerator.
    Each of several ranks on this machine has an accelerator of its own.
    """
    if use_cuda is False:
        return torch.device("cpu")
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None:
            return accelerator if local_rank is None else _own(accelerator, local_rank)
    if use_cuda:
        raise UserError(
            f"--use_cuda=true: PyTorch {torch.__version__} finds no GPU here; "
            "install a build for your GPU and its driver, or pass --use_cuda=false to train on the CPU"
        )
    return torch.device("cpu")


def _own(accelerator: torch.device, local_rank: int) -> torch.device:
    """The accelerator of one of the ranks of this machine, from now on the current one of the process."""
    num_devices = torch.accelerator.device_count()
    if local_rank >= num_devices:
        raise UserError(
            f"local rank {local_rank} finds {num_devices} GPU{'s' * (num_devices != 1)} on this machine: start as many "
            "processes as there are GPUs, or pass --use_cuda=false"
        )
    torch.accelerator.set_device_index(local_rank)
    return torch.device(accelerator.type, local_rank)


def describe(device: torch.device) -> str:
    """The device in words: "cuda (NVIDIA H200)", "cpu (16 threads)"."""
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    get_name = getattr(torch.get_device_module(device), "get_device_name", None)
    return f"{device} ({get_name(device)})" if get_name else str(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory this process has had: on the accelerator, or in all for a CPU; None where nobody counts it."""
    if device.type != "cpu":
        count = getattr(torch.get_device_module(device), "max_memory_allocated", None)
        return int(count(device)) if count else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
