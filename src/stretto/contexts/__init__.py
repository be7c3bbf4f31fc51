"""The bounded contexts; they know the core and never each other."""
