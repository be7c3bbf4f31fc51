"""FFmpeg in a process of its own, which has one open file and a socket, and may do nothing else.

``reader`` is the adapter, ``process`` starts and watches a child, ``child`` is what runs there,
``sandbox`` what it gives up first, and ``wire`` the few messages between the two.
"""
