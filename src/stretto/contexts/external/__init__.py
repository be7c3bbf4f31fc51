"""External: services that are asked for text, and stores that serve what was made of it."""
