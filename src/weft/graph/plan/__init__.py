"""From kernel calls to a plan: memory, bindings, dispatches."""
