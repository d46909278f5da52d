"""`python -m executionkit demo`: four of the patterns at work, over real HTTP. Start reading in `scenes.py`."""
