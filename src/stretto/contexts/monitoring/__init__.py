"""What is measured, kept as series, alerted on and shown."""
