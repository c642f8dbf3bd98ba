"""config.yaml: where it stands, how it comes to be, and what its paths mean."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from labwright.args import MachineConfig
from labwright.args.files import load_file
from labwright.args.machine import anchored, config_path, example_yaml, write_first_config


class LabConfig(MachineConfig):
    scratch_dir: Path = Field(default=Path("scratch"), description="Fast disk.")
    cluster: str = "1e-4"


def test_config_stands_beside_the_nearest_pyproject_else_here(tmp_path: Path) -> None:
    inner = tmp_path / "lab" / "deep"
    inner.mkdir(parents=True)
    assert config_path(inner) == inner / "config.yaml"
    (tmp_path / "lab" / "pyproject.toml").touch()
    assert config_path(inner) == tmp_path / "lab" / "config.yaml"


def test_first_config_works_as_written(tmp_path: Path) -> None:
    """T: the first run wrote config.yaml containing `PydanticUndefined`, exited 0, and had to be started again."""
    path = tmp_path / "config.yaml"
    note = write_first_config(path, LabConfig)
    assert note is not None and str(path) in note and "\n" not in note
    assert "Undefined" not in path.read_text()
    assert LabConfig.model_validate(load_file(path)) == LabConfig()


def test_existing_config_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("num_workers: 3\n")
    assert write_first_config(path, MachineConfig) is None
    assert path.read_text() == "num_workers: 3\n"


def test_config_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    note = write_first_config(tmp_path / "missing" / "config.yaml", MachineConfig)
    assert note is not None and note.endswith("cannot be written (No such file or directory); using the defaults")


def test_example_describes_every_field() -> None:
    lines = example_yaml(LabConfig).splitlines()
    assert "# Fast disk." in lines
    for name in LabConfig.model_fields:
        assert any(line.startswith(f"{name}: ") for line in lines), name


def test_secret_and_required_fields_are_left_to_the_user() -> None:
    class Strict(MachineConfig):
        account: str = Field(description="Who pays.")
        token: SecretStr = SecretStr("hunter2")

    text = example_yaml(Strict)
    assert "wandb_api_key: null" in text
    assert "# Who pays.\n# account:\n" in text
    assert "hunter2" not in text


def test_relative_paths_are_resolved_from_the_folder(tmp_path: Path) -> None:
    machine = LabConfig(cache_dir=Path("/data"), results_dir=Path("out"))
    found = anchored(machine, tmp_path)
    assert (found.cache_dir, found.results_dir, found.scratch_dir) == (
        Path("/data"),
        tmp_path / "out",
        tmp_path / "scratch",
    )
    assert anchored(machine, tmp_path, names={"scratch_dir"}).results_dir == Path("out")


@pytest.mark.parametrize("text", ["null", "true", "1"])
def test_texts_that_look_like_values_stay_texts_in_the_example(tmp_path: Path, text: str) -> None:
    class Odd(MachineConfig):
        label: str = text

    path = tmp_path / "config.yaml"
    write_first_config(path, Odd)
    assert load_file(path)["label"] == text


def test_config_yaml_example_is_what_machine_config_says() -> None:
    example = Path(__file__).resolve().parents[2] / "config.yaml.example"
    assert example.read_text(encoding="utf-8") == example_yaml()
