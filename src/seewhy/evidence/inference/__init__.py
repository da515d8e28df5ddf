"""Numbers only: effects, intervals, tests, from arrays of trials."""
