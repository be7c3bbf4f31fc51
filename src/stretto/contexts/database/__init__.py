"""Database: connections, transactions and the tables that the other contexts declare."""
