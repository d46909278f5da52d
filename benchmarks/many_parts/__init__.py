"""The parts of `many.py` and `kills.py`: rows and steps, and programs that run in processes of their own."""
