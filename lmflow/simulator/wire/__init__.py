"""From bytes to calls and back: listeners, HTTP, TLS, XML-RPC, JSON-RPC."""
