"""`python -m homeroom` is the command `homeroom`."""

from homeroom.cli import main

if __name__ == "__main__":
    main()
