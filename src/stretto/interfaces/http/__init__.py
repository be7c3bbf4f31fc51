"""The HTTP interface: OpenAI's audio API, Stretto's own, and the page."""
