"""Every experiment of this lab: its id and where its Args class lives."""

EXPERIMENTS = {
    "spirals": "lab.experiments.spirals:SpiralsArgs",
}
