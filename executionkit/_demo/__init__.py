"""`executionkit demo`: the patterns at work, over real HTTP. Start reading in `scenes.py`."""
