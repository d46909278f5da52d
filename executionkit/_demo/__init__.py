"""`python -m executionkit demo`: every pattern at work, over real HTTP. Start reading in `scenes.py`."""
