"""Forms' tables, and the statements on them."""
