"""Models of this lab. `args.py` says what they are without importing torch, so that `--help` is fast."""
