"""One file for each revision; what was released is never edited."""
