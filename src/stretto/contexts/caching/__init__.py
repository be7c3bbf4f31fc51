"""Caching: answers of engines are kept by content and found again, never computed twice."""
