"""What ends a training that can learn nothing more."""

ADVICE = "try a smaller learning rate, --gradient_clipping, or --detect_anomaly to find the operation behind it"
"""How every message of a NonFiniteLoss ends."""


class NonFiniteLoss(ArithmeticError):
    """The loss, a gradient or a weight is NaN or infinite: nothing more can be learned, and nothing of it is kept."""

    def __init__(self, text: str, step: int | None = None) -> None:
        super().__init__(text)
        self.step = step
        """The optimizer step it was, where that is known."""
