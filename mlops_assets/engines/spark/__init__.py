"""Spark as an engine: the same rules in Arrow functions over circuits, and Delta's MERGE."""
