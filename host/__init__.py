"""Runs one service or all of them in one process, and the command line. Enters services by their front doors alone."""
