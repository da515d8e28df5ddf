"""Which edits are made, on which images, with whose content, and their scores."""
