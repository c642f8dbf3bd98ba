"""What several ranks agree on, told by the sums that they would exchange."""

import signal
from typing import Any, cast

import pytest

from labwright.args.errors import Terminated
from labwright.session.ranks import AgreedStop
from labwright.session.signals import WANTED
from labwright.train.distributed.group import Group
from labwright.train.distributed.world import RankLost, World


class Two(World):
    """This rank and another one, which has heard what `others` says."""

    size = 2

    def __init__(self, others: list[float]) -> None:
        self.others = others

    def sum(self, values: list[float]) -> list[float]:
        return [own + other for own, other in zip(values, self.others, strict=True)]

    def whom_we_lost(self) -> str | None:
        return None


def heard(number: int) -> list[float]:
    return [float(each == number) for each in WANTED]


def agreed_stop(others: list[float]) -> AgreedStop:
    return AgreedStop(cast(Group, Two(others)))


def test_a_signal_of_this_rank_alone_ends_nothing_until_all_know() -> None:
    stop = agreed_stop(heard(0))
    with pytest.raises(Terminated), stop.deferred():
        stop.tells = False
        stop.hear(signal.SIGTERM, None)
        assert not stop.is_asked()
        stop.raise_if_asked()
        assert stop.wish() == heard(signal.SIGTERM)
        stop.take(heard(signal.SIGTERM))
        assert stop.is_asked()
        stop.raise_if_asked()
    assert stop.is_orderly


def test_a_signal_of_another_rank_ends_this_one() -> None:
    stop = agreed_stop(heard(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), stop.deferred():
        assert not stop.is_asked()


def test_signals_that_come_since_a_rank_is_gone_are_no_news() -> None:
    stop = agreed_stop(heard(0))
    cast(Any, stop.world).whom_we_lost = lambda: "rank 1 of 2 is gone"
    with pytest.raises(RankLost, match="rank 1 of 2 is gone"):
        stop.hear(signal.SIGTERM, None)
    stop.is_lost = True
    stop.hear(signal.SIGTERM, None)
    assert stop.number is None


def test_signal_that_has_ended_another_rank_ends_this_one_too() -> None:
    stop = agreed_stop(heard(0))
    cast(Any, stop.world).whom_we_lost = lambda: "rank 1 of 2 failed: Terminated: SIGTERM"
    with pytest.raises(Terminated):
        stop.hear(signal.SIGTERM, None)


def test_signals_are_no_news_while_the_loss_of_a_rank_ends_the_block() -> None:
    stop = agreed_stop(heard(0))
    with pytest.raises(RankLost), stop.deferred():
        raise RankLost("rank 1 of 2 is gone")
    stop.hear(signal.SIGTERM, None)
    assert stop.number is None


def test_a_signal_while_a_step_is_made_is_told_as_what_it_comes_from(capfd: pytest.CaptureFixture[str]) -> None:
    """People saw "SIGTERM: stopping after this step" where a rank had died and torchrun ended the others."""
    for lost, told in (
        ("rank 1 of 2 is gone", "rank 1 of 2 is gone; stopping"),
        ("rank 1 of 2 failed: Terminated: SIGTERM", "SIGTERM: stopping after this step"),
        (None, "SIGTERM: stopping after this step"),
    ):
        stop = agreed_stop(heard(0))
        stop.tells = True
        cast(Any, stop.world).whom_we_lost = lambda lost=lost: lost
        with pytest.raises(Terminated), stop.deferred():
            stop.hear(signal.SIGTERM, None)
        assert capfd.readouterr().err.strip() == told
