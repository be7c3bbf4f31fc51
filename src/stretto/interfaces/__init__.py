"""How people and programs reach Stretto: thin, and each on its own."""
