import pytest
import torch

from labwright.args.errors import UserError
from labwright.train import choose_device, describe, peak_memory_bytes


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))


def test_a_machine_without_a_gpu_trains_on_the_cpu_unless_told_otherwise(no_accelerator: None) -> None:
    """T: use_cuda defaulted to true and failed on CPU machines."""
    assert choose_device(None) == torch.device("cpu")


def test_requiring_a_gpu_where_there_is_none_is_one_clear_line(no_accelerator: None) -> None:
    with pytest.raises(UserError, match="--use_cuda=true.*no GPU.*--use_cuda=false") as error:
        choose_device(True)
    assert "\n" not in str(error.value)


def test_any_accelerator_is_taken_if_there_is_one(mps: None) -> None:
    assert choose_device(None) == choose_device(True) == torch.device("mps")


def test_the_cpu_is_taken_when_asked_for(mps: None) -> None:
    assert choose_device(False) == torch.device("cpu")


def test_a_device_is_described_in_words() -> None:
    assert describe(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"
    assert describe(torch.device("mps")) == "mps"


def test_peak_memory_never_falls() -> None:
    before = peak_memory_bytes(torch.device("cpu"))
    assert before is not None and before > 50e6  # torch alone is larger
    block = torch.ones(before // 8 + 10_000_000)
    after = peak_memory_bytes(torch.device("cpu"))
    assert after is not None and after >= before + 10_000_000 and len(block)
