"""Where the decoder's process begins: it is told where its few imports are found, and serves.

Started as ``python -I -S -B child.py DESCRIPTOR FOLDER...`` with an empty environment; DESCRIPTOR
is a socket to the parent.
"""

import sys

if __name__ == "__main__":
    sys.path += sys.argv[2:]
    from stretto.contexts.processing.adapters.decoder.serving import serve

    serve(int(sys.argv[1]))
