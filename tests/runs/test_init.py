import subprocess
import sys

from labwright import runs


def test_every_public_name_can_be_imported() -> None:
    assert runs.__all__ == sorted(runs.__all__)
    for name in runs.__all__:
        assert getattr(runs, name).__name__ == name


def test_the_whole_room_imports_neither_torch_nor_anything_that_draws() -> None:
    program = """
import sys
from labwright import runs
assert not any(name.startswith("labwright.runs.") for name in sys.modules), "the room is not lazy"
for name in runs.__all__:
    getattr(runs, name)
print([name for name in ("torch", "numpy", "matplotlib", "pydantic", "wandb") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
