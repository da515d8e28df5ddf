"""Pictures whose truth is known: rendered faces with planted shortcuts."""
