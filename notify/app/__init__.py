"""Use cases: record what happened, plan who hears of it, send it, keep templates and preferences."""
