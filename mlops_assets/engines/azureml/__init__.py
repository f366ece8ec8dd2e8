"""Azure ML as an engine: command jobs that fit, batch endpoints that apply."""
