"""Where images come from: folders, lists, archives, addresses, and the memory."""
