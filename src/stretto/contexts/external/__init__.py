"""External: servers of others, and stores that serve what was made here."""
