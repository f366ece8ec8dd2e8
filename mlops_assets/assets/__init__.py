"""The graph: what each flow's result looks like to Dagster."""
