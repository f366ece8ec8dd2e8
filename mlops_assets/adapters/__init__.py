"""What serves the ports: the same file names for every backend."""
