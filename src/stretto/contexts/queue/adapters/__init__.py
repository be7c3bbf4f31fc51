"""What the queue needs from outside: its tables on either database, and bells to wake workers."""
