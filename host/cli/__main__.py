"""`python -m host.cli`: the command line without its installed script."""

from host.cli.application import main

if __name__ == "__main__":
    main()
