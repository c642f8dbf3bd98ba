import os
import subprocess
import sys

SCRIPT = """
import sys, tempfile
from pathlib import Path
import labwright.runs.plots as plots
for name in plots.__all__:
    getattr(plots, name)
assert not {"matplotlib", "numpy", "torch"} & set(sys.modules), "importing the names imports what draws"
import matplotlib
before = dict(matplotlib.rcParams)
path = Path(tempfile.mkdtemp()) / "history.png"
plots.plot_history([{"epoch": 1, "step": 1, "split": "val", "metrics": {"loss": 1.0}}], path, title="t")
assert path.read_bytes().startswith(b"\\x89PNG")
assert "matplotlib.pyplot" not in sys.modules, "pyplot would keep every figure"
assert dict(matplotlib.rcParams) == before, "a picture leaves its style behind"
"""


def test_names_are_light_and_drawing_needs_no_display_and_leaves_nothing_behind() -> None:
    environment = os.environ | {"MPLBACKEND": "TkAgg", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("DISPLAY", None)
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
