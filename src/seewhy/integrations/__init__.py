"""Where people work: what a run or a training shows, written to the trackers, frameworks and formats that they use."""
