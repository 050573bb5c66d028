"""`python -m harness` is `eslab`."""

from harness.cli import main

if __name__ == "__main__":
    main()
