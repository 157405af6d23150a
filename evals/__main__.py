"""`python -m evals` is `asclaimed`, where the command itself is not on PATH."""

from evals.cli import main

if __name__ == "__main__":
    main()
