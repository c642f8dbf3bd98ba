"""`python -m labwright`: the same as the `labwright` command."""

from labwright.cli import main

if __name__ == "__main__":
    main()
