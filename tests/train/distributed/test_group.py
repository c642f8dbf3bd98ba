"""What a rank sees of the others; what they do together is in tests/session/test_ranks.py."""

import os
import subprocess
import sys

import pytest

from labwright.train.distributed.group import is_running


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are seen in /proc")
def test_a_process_that_has_ended_is_gone_before_anybody_has_asked_how() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(process.pid)
    process.communicate()
    assert not is_running(process.pid)
