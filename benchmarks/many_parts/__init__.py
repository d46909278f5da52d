"""What `many.py` and `kills.py` are made of: rows and steps, and programs that run in processes of their own."""
