"""`executionkit demo`: four patterns at work, over real HTTP. Start reading in `scenes.py`."""
