"""Scripts and notebooks outside the framework: each runs as it stands."""

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lab.experiments.digits import DigitsArgs
from labwright import MachineConfig
from labwright.models import MLPArgs

WILD_WEST = Path(__file__).parents[2] / "src" / "lab" / "wild_west"
NOTEBOOK = WILD_WEST / "read_a_run.ipynb"


def test_digits_by_hand_learns_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runpy.run_path(str(WILD_WEST / "digits_by_hand.py"))["main"]() > 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_teacher_student_chains_runs_by_what_they_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    accuracies = runpy.run_path(str(WILD_WEST / "teacher_student.py"))["main"](epochs=20)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    runs = [path.parent for path in tmp_path.glob("results/few_labels/*/log.txt")]
    teacher, labels, student, fine_tuned = sorted(runs, key=lambda run: (run / "log.txt").stat().st_mtime_ns)
    pseudo_labels = labels / "predictions" / "unlabelled.csv"
    header, *rows = pseudo_labels.read_text().splitlines()
    assert header == "index,prediction,confidence" and len(rows) == 1208
    assert f"from_checkpoint: {teacher}" in (labels / "args.yaml").read_text()
    assert f"pseudo_labels: {pseudo_labels}" in (student / "args.yaml").read_text()
    assert f"from_checkpoint: {student}" in (fine_tuned / "args.yaml").read_text()
    assert accuracies["student"] > accuracies["teacher"] > 0.5
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[1:]] == list(accuracies) == ["teacher", "student", "fine-tuned"]


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
def test_the_notebook_reads_a_run_and_shows_its_model_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MachineConfig(results_dir=tmp_path, use_cuda=False)
    result = DigitsArgs(epochs=2, model=MLPArgs(hidden_sizes=[32])).build(machine).run()
    monkeypatch.setenv("RUN_DIR", str(result.run_dir))
    monkeypatch.delenv("MPLBACKEND")  # the notebook's own shows pictures in place
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(WILD_WEST)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "digits on scikit-learn digits" in said and f"'accuracy': {result.test['accuracy']}" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
