"""MCP: meta-tools and exposed orchestrations as tools, over HTTP and over stdio."""
