"""`python -m procshare.cli` is the `procshare` command."""

from procshare.cli import main

if __name__ == "__main__":
    main()
