"""`python -m aicfg_pipeline`: the command line."""

from aicfg_pipeline.cli import main

if __name__ == "__main__":
    main()
