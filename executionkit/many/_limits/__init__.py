"""The limits of an account: what may go now, and who waits."""
