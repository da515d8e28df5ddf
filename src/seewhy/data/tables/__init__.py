"""The table of images, and what columns, names and numbers say of their labels, splits and clusters."""
