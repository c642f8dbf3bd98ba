"""Completion scripts: static, and valid in the shell they are for."""

import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from typing import Literal

import pytest

from labwright.args import Args, UserError, completion
from labwright.args.shell import add_ids, completion_parser, script


class AdamArgs(Args):
    kind: Literal["adam"] = "adam"
    eps: float = 1e-8


class SGDArgs(Args):
    kind: Literal["sgd"] = "sgd"


class LabArgs(Args):
    """It's a lab, 100% "quoted" $(touch me)."""

    optimizer: AdamArgs | SGDArgs = AdamArgs()
    activation: Literal["relu", "gelu"] = "relu"
    debug: bool = False
    compiled: Literal["auto"] | bool = "auto"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_script_knows_flags_and_choices(shell: Literal["bash", "zsh"]) -> None:
    text = completion(LabArgs, prog="run.py", shell=shell)
    for word in ("--optimizer", "adam", "sgd", "--optimizer.eps", "--eps", "gelu", "true"):
        assert word in text


def test_script_knows_commands_and_ids() -> None:
    class WithId(LabArgs):
        experiment_id: str = ""

    parser = completion_parser({"experiment": WithId}, prog="run.py")
    info = ArgumentParser()
    info.add_argument("--split")
    add_ids(parser, {"new": ArgumentParser(), "data": {"info": info}}, ["mnist", "digits"])
    text = script(parser, "bash")
    assert "mnist" in text and "digits" in text and "new" in text
    assert re.search(r"_data_info_option_strings=\(.*--split\)", text)


def test_what_is_a_word_or_a_boolean_completes_to_either() -> None:
    parser = completion_parser({"arguments": LabArgs}, prog="run.py")
    assert [action.choices for action in parser._actions if action.dest == "compiled"] == [["auto", "true", "false"]]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_accepts_the_script() -> None:
    text = completion(LabArgs, prog="run.py")
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


COMPLETED = """
completed() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  [[ $(complete -p "$1") =~ ' -F '([^ ]+) ]] && ${BASH_REMATCH[1]} "$@"
  echo "${COMPREPLY[*]}"
}
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_script_behind_python_and_leaves_the_rest_to_python() -> None:
    text = completion(LabArgs, prog="run.py")
    asked = """
own() { COMPREPLY=("python's own"); }
complete -o nospace -F own python
%s
completed python lab/run.py --activation g
completed run.py --deb
completed python run
completed python other.py --deb
completed python3 run.py --deb
(set -u; completed python3 other.py --deb)
complete -p python
"""
    # sourced twice, as with a second script
    done = subprocess.run(["bash", "--norc"], input=COMPLETED + asked % (text + text), capture_output=True, text=True)
    *lines, spec = done.stdout.splitlines()
    assert lines == ["gelu", "--debug", "python's own", "python's own", "--debug", ""]
    assert done.stderr == ""
    assert spec.startswith("complete -o nospace -F ") and spec.endswith("_behind_python python")


def test_a_program_that_is_no_script_has_nothing_to_do_with_python() -> None:
    assert "python" not in completion(LabArgs, prog="labwright")
    assert "python" not in completion(LabArgs, prog="run.py", shell="zsh")


def test_missing_shtab_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(UserError, match=r"pip install shtab"):
        completion(LabArgs, prog="run.py")
