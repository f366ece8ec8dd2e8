"""Files and Delta tables on one machine."""
