"""The journal of a job: its file, and the relays that write and replay it."""
