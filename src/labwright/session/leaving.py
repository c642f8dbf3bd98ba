"""How a rank ends that has nothing to say."""

import contextlib
import signal
import time
from typing import NoReturn

_WAIT_SECONDS = 10.0
"""More than rank 0 needs to say what is wrong."""


def leave_word_to_main() -> NoReturn:
    """End with exit code 2 where rank 0 says why; not before that, since torchrun ends all ranks with the first."""
    with contextlib.suppress(BaseException):  # the signal with which it does so
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        time.sleep(_WAIT_SECONDS)
    raise SystemExit(2)
