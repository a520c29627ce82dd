"""The steps that lead to the present tables, in order."""
