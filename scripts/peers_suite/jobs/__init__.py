"""Programs that ask one question for each row of a table and can be started again, one for each tool.

Each is run as `python -m peers_suite.jobs.NAME URL DIRECTORY ROWS`, in the environment of its tool.
"""
