"""How much memory there is, in a container too."""

from pathlib import Path

import pytest

from labwright.train.system_memory import free_memory, process_memory


def test_process_takes_less_than_there_is() -> None:
    free, own = free_memory(), process_memory()
    assert free is None or free > 2**20
    assert own is None or 2**24 < own < 2**40


def test_container_has_less_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.train.system_memory._GROUPS", (tmp_path,))
    machine = free_memory()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 4100\nactive_file 100\ninactive_file 800\n")
    assert machine is None or free_memory() is not None
    (tmp_path / "memory.max").write_text("12000\n")
    assert free_memory() == 7800


@pytest.mark.parametrize("line", ["0::/slice/job_7/task_0", "4:memory:/slice/job_7/task_0"])
def test_job_has_less_than_the_machine(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler of jobs puts a process into a group, in the midst of which the limit stands."""
    job = tmp_path / "slice/job_7"
    (job / "task_0").mkdir(parents=True)
    (tmp_path / "cgroup").write_text(f"9:cpu:/elsewhere\n{line}\n")
    for name, text in (("limit_in_bytes", "12000"), ("usage_in_bytes", "5000"), ("stat", "total_inactive_file 800")):
        (job / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setattr("labwright.train.system_memory._GROUPS", (tmp_path / "nothing", tmp_path))
    monkeypatch.setattr("labwright.train.system_memory._OWN_GROUPS", tmp_path / "cgroup")
    assert free_memory() == 7800
