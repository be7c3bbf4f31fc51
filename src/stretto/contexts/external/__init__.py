"""External: services over the network, asked quickly, politely and never twice for the same."""
