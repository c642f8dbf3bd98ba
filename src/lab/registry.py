"""Every experiment of this lab: its id and where its Args class lives."""

EXPERIMENTS = {
    "mnist": "lab.experiments.mnist.args:MnistArgs",
    "fashion_mnist": "lab.experiments.fashion_mnist:FashionMnistArgs",
    "digits": "lab.experiments.digits:DigitsArgs",
    "table": "lab.experiments.table:TableArgs",
}
