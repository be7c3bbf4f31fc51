"""The shared kernel: frozen nouns, events, errors. Standard library only, no I/O."""
