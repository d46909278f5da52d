"""What `many.py` and `kills.py` are made of: the rows and steps, and the programs that run in processes of their own."""
