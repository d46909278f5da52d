"""Tools: functions that a model may call."""

from executionkit.tools._tool import Tool as Tool
