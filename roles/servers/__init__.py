"""
Outside MCP servers: saved as documents, asked for their tools, called for agents.

Nothing that a server says or does not say is trusted: sizes, times and numbers are
bounded, its texts are data, and what it offers counts only as far as somebody allowed.
"""
