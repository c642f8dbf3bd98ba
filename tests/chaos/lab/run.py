"""The command line of the lab that is killed: `run.py --experiment_id=mlp`."""

import os
import sys

EXPERIMENTS = {"mlp": "experiments:MlpArgs", "cnn": "experiments:CnnArgs"}

if __name__ == "__main__":
    if "CHAOS_FAULT" in os.environ:
        import inject

        inject.install(os.environ["CHAOS_FAULT"])
    from labwright.cli import main

    main(EXPERIMENTS, argv=sys.argv[1:])
