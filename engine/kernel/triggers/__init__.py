"""One file for each event definition: where it may stand, what it reads, how it is armed and thrown."""
