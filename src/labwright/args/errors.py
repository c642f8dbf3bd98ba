"""What a user can get wrong.

ValueError
  UserError      bad input, found before a run directory exists: one line on stderr, exit code 2
    ArgsError    arguments, environment or config files: every problem at once, one line each
"""

import signal
from collections.abc import Sequence


class UserError(ValueError):
    """Bad input: shown as one line without a traceback, exit code 2."""


class ArgsError(UserError):
    """Everything wrong with the arguments, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


class Terminated(BaseException):
    """A signal to end arrived: SIGTERM, SIGUSR1 as schedulers send it before, or SIGHUP when the terminal goes away."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 129 if number == getattr(signal, "SIGHUP", None) else 143
