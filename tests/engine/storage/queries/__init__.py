"""Tests of the read side, over a group commit that writes what is read."""
