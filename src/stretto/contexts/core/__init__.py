"""The shared kernel: frozen nouns, domain events and the error tree. Standard library only, no I/O."""
