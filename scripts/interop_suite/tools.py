"""The tool that the models are offered."""

from executionkit import Tool


async def get_weather(city: str, unit: str = "°C") -> str:
    """The weather of a city, which never changes here."""
    return f"{len(city) * 4} {unit}"


WEATHER_TOOL = Tool(
    "get_weather",
    "The temperature in a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["°C", "°F"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    get_weather,
)
