"""The foreign libraries of this context, one file each."""
