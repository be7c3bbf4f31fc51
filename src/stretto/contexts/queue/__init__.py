"""Jobs that cannot be lost: rows of the database, held by workers for a while, tried again."""
