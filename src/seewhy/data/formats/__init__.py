"""Files and numbers that are pictures: which they are, and how they are read."""
