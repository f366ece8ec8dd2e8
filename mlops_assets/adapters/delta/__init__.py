"""Tables as Delta, wherever their files lie: what they do, without the disk or the container."""
