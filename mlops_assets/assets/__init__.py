"""The asset graph, one file per noun: each translates a flow's result to Dagster."""

import warnings

import dagster as dg

# Partitioned checks and backfill policies are marked as early by Dagster; its version is pinned.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
