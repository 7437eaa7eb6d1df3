"""The unix socket: in, requests of people on this host; out, calls of the handlers that app passes in."""
