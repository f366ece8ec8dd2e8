"""One Dagster asset graph that runs a fleet of per-circuit forecasting models."""
