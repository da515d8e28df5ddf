"""The exchange of a factor while a network learns."""
