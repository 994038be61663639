"""`python -m dayfly`."""

from dayfly.cli.main import main

if __name__ == "__main__":
    main()
