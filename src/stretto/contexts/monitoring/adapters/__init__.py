"""The foreign libraries and systems that monitoring uses: files, databases, ways to tell people."""
