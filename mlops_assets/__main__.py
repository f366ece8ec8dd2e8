"""``python -m mlops_assets`` is ``mlops``."""

from mlops_assets.cli import main

if __name__ == "__main__":
    main()
