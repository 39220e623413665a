"""A compound asked for by its formula alone: candidates of several sources, merged, relaxed and ranked."""
