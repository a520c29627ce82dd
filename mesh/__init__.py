"""What every Flowloom process needs and no business: settings, clock, ids, errors, server, channels, telemetry.

The mesh knows no service: it imports neither `engine` nor `history` nor any other, and no generated contract of theirs.
Services import from it, never the other way round.
"""
