"""Pages of a run: one offline folder that opens from disk."""
