"""The work: load, call the domain, store. Plain Python over ports."""
