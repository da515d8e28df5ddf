"""From a folder and options to shards, results and a run folder."""
