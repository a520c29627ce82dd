"""Values of identity and the rules that need nothing but values: no clock, no database, no randomness."""
