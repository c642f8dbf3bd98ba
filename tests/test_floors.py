"""Imports go down only. Read from the sources, without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parents[1] / "src"

FLOORS = (
    ("labwright.lazy",),
    ("labwright.args",),
    ("labwright.loop", "labwright.runs"),
    ("labwright.shards",),
    (
        "labwright.datasets",
        "labwright.metrics",
        "labwright.models",
        "labwright.optimizers",
        "labwright.schedulers",
        "labwright.trackers",
        "labwright.train",
    ),
    ("labwright.session",),
    ("labwright.bare",),
    ("labwright.experiment",),
    ("labwright.new", "labwright.project"),
    ("labwright.api", "labwright.imported"),
    ("labwright.commands",),
    ("labwright.cli",),
    ("labwright",),  # its public names, and `python -m labwright`
    ("lab",),
    ("lab.wild_west",),
)
"""The rooms, lowest floor first."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_TORCH = (
    "labwright.lazy",
    "labwright.args",
    "labwright.loop",
    "labwright.runs",
    "labwright.bare",
    "labwright.new",
    "labwright.project",
    "labwright.api",
    "labwright.imported",
)
"""Rooms that do not import torch, inside a function neither."""
LIGHT = (
    *WITHOUT_TORCH,
    "labwright.bare",
    "labwright.experiment",
    "labwright.project",
    "labwright.api",
    "labwright.imported",
    "labwright.commands",
    "labwright.cli",
    "labwright",
)
"""Rooms that import nothing heavy outside functions; so do the modules `args` of all the others."""
HEAVY = ("torch", "numpy", "matplotlib")


class Import(NamedTuple):
    """One module imports another."""

    importer: str
    line: int
    imported: str
    is_at_top: bool


def sources(src: Path) -> Iterator[tuple[str, Path]]:
    """Module name and file of everything in `src` but the template, which is a lab of its own."""
    for path in sorted(src.rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        if parts[:2] != ("labwright", "templates"):
            yield ".".join(parts).removesuffix(".__init__"), path


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """What `path` imports, where it counts: not for type checkers, not within a `build`."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def absolute(name: str, level: int) -> str:
        if not level:
            return name
        parents = package.split(".")
        return ".".join(part for part in [*parents[: len(parents) - level + 1], name] if part)

    def walk(node: ast.AST, is_at_top: bool) -> Iterator[Import]:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=rest):
                for child in rest:
                    yield from walk(child, is_at_top)
                return
            case ast.FunctionDef(name="build"):
                return
            case ast.Import(names=names):
                for alias in names:
                    yield Import(module, node.lineno, alias.name, is_at_top)
            case ast.ImportFrom(module=name, names=names, level=level):
                base = absolute(name or "", level)
                for alias in names:  # `from labwright import args` means the room, `from .base import Args` the module
                    yield Import(module, node.lineno, f"{base}.{alias.name}", is_at_top)
            case ast.Call(func=ast.Name(id="lazy_names"), args=[_, ast.Dict(values=values)]):
                for value in values:
                    assert isinstance(value, ast.Constant) and isinstance(value.value, str)
                    name = value.value.lstrip(".")
                    yield Import(module, value.lineno, absolute(name, len(value.value) - len(name)), is_at_top)
            case _:
                pass
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, is_at_top and not is_function)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def room_of(module: str) -> str | None:
    """The most particular room that `module` or a name in it stands in; None: it is not ours."""
    parts = module.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in FLOOR_OF), None)


def climbs(src: Path) -> list[str]:
    """Every import that does not go down, one line each."""
    found: list[str] = []
    for module, path in sources(src):
        room = room_of(module)
        assert room is not None, f"{module} stands on no floor"
        for each in imports_of(module, path):
            target = room_of(each.imported)
            if target is not None and target != room and FLOOR_OF[target] >= FLOOR_OF[room]:
                found.append(f"{module}:{each.line} ({room}) imports {each.imported} ({target})")
    return found


def heavy(src: Path) -> list[str]:
    """Every import of a heavy package where there may be none, one line each."""
    found: list[str] = []
    for module, path in sources(src):
        room = room_of(module)
        is_light = room in LIGHT or (module.startswith("labwright.") and module.endswith(".args"))
        for each in imports_of(module, path):
            package = each.imported.partition(".")[0]
            if (package == "torch" and room in WITHOUT_TORCH) or (package in HEAVY and is_light and each.is_at_top):
                found.append(f"{module}:{each.line} imports {package}")
    return found


def plant(src: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_imports_go_down_only() -> None:
    assert climbs(SRC) == []


def test_light_rooms_import_nothing_heavy() -> None:
    assert heavy(SRC) == []


def test_every_room_of_the_library_has_a_floor() -> None:
    rooms = {module.split(".")[1] for module, _ in sources(SRC) if module.startswith("labwright.")}
    assert {room for room in rooms if f"labwright.{room}" not in FLOOR_OF} == {"__main__"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labwright/args/base.py", "from labwright.train import fit"),
        ("labwright/args/base.py", "from ..runs.history import History"),
        ("labwright/args/base.py", "def late():\n    import labwright.cli"),
        ("labwright/args/base.py", "from labwright import Experiment"),
        ("labwright/models/mlp.py", "from labwright.datasets import Splits"),
        ("labwright/models/mlp.py", "from .. import datasets"),
        ("labwright/models/__init__.py", 'lazy_names(__name__, {"Splits": "..datasets"})'),
        ("labwright/runs/plot.py", "from labwright import loop"),
        ("labwright/session/run.py", "from labwright.experiment import Experiment"),
        ("labwright/cli.py", "from lab.registry import EXPERIMENTS"),
        ("lab/registry.py", "from lab.wild_west import script"),
    ],
)
def test_planted_climb_is_found(tmp_path: Path, file: str, text: str) -> None:
    plant(tmp_path, {file: text})
    assert len(climbs(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labwright/models/args.py", "class A:\n    def build(self):\n        from labwright.datasets import Splits"),
        ("labwright/models/mlp.py", "if TYPE_CHECKING:\n    from labwright.datasets import Splits"),
        ("labwright/models/mlp.py", "from .activations import relu\nfrom labwright.args import Args"),
        ("labwright/cli.py", "def new():\n    from labwright.new import write_lab"),
        ("lab/wild_west/script.py", "from lab.registry import EXPERIMENTS"),
    ],
)
def test_way_down_is_open(tmp_path: Path, file: str, text: str) -> None:
    plant(tmp_path, {file: text})
    assert climbs(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labwright/args/base.py", "def late():\n    import torch.nn"),
        ("labwright/runs/plot.py", "from torch import Tensor"),
        ("labwright/runs/plot.py", "import matplotlib.pyplot"),
        ("labwright/models/args.py", "from torch import nn"),
    ],
)
def test_planted_weight_is_found(tmp_path: Path, file: str, text: str) -> None:
    plant(tmp_path, {file: text})
    assert len(heavy(tmp_path)) == 1
