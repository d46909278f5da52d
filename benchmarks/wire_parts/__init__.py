"""What `wire.py` is made of: the servers, the clients that it compares, and the measuring."""
