"""Real OpenAI-compatible servers, installed, started on loopback and driven through the library."""
