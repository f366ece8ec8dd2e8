"""Rules: no I/O, no clock, no framework."""
