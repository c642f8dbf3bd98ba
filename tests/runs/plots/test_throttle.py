import pytest

from labwright.runs.plots import ThrottledPlot


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Drawing:
    """A drawing that takes `cost` seconds of the clock."""

    def __init__(self, clock: Clock, cost: float) -> None:
        self.clock, self.cost, self.count = clock, cost, 0

    def __call__(self) -> None:
        self.clock.now += self.cost
        self.count += 1


def test_nothing_is_drawn_before_the_first_drawing_is_a_small_share_of_the_time() -> None:
    clock = Clock()
    plot, draw = ThrottledPlot(seconds=5, share=0.02, first_cost=0.6, clock=clock), Drawing(clock, 0.1)
    clock.now = 29.9
    assert not plot.maybe_draw(draw)
    clock.now = 30.0
    assert plot.maybe_draw(draw)
    assert draw.count == 1


def test_quick_drawings_come_every_five_seconds_at_most() -> None:
    clock = Clock()
    plot, draw = ThrottledPlot(seconds=5, first_cost=0.0, clock=clock), Drawing(clock, 0.0)
    for _ in range(1000):  # 100 seconds of epochs that take 0.1 s each
        clock.now += 0.1
        plot.maybe_draw(draw)
    assert 18 <= draw.count <= 20


def test_slow_drawings_take_at_most_a_twentieth_of_a_long_run() -> None:
    clock = Clock()
    plot, draw = ThrottledPlot(seconds=5, share=0.05, clock=clock), Drawing(clock, 3.0)
    while clock.now < 3600:
        clock.now += 1.0
        plot.maybe_draw(draw)
    assert draw.count > 10
    assert draw.count * draw.cost <= 0.05 * clock.now


def test_draw_now_draws_though_it_is_not_due_and_delays_the_next() -> None:
    clock = Clock()
    plot, draw = ThrottledPlot(seconds=5, share=0.05, clock=clock), Drawing(clock, 1.0)
    plot.draw_now(draw)
    assert draw.count == 1
    clock.now += 19.0
    assert not plot.maybe_draw(draw)
    clock.now += 1.0
    assert plot.maybe_draw(draw)


def test_drawing_that_fails_is_not_tried_again_at_once() -> None:
    clock = Clock()
    plot = ThrottledPlot(seconds=5, clock=clock)

    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        plot.draw_now(fail)
    assert not plot.maybe_draw(fail)
