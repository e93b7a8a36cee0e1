"""`python -m cvq_cli` is `cvq`."""

from .main import main

if __name__ == "__main__":
    main()
