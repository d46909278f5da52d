"""The names of OpenTelemetry's GenAI conventions, each under the page that it was taken from."""

from typing import Final, Literal, TypeAlias

Conventions: TypeAlias = Literal["2026-11"]
"""The conventions that can be followed, by the month of their pages. "2026-11" is v0.1.0, the first one."""

# https://github.com/open-telemetry/semantic-conventions-genai, README.md, read on 2026-11-30.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai/1.42.0"

# docs/gen-ai/client-inference.md, read on 2026-11-30.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
REQUEST_MODEL: Final = "gen_ai.request.model"
TEMPERATURE: Final = "gen_ai.request.temperature"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
CHOICES: Final = "gen_ai.request.choice.count"
STREAM: Final = "gen_ai.request.stream"
STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CHAT: Final = "chat"
FAILED: Final = "error"
"""The finish reason of a reply that never came, or broke off."""

OPTIONS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "seed": ("gen_ai.request.seed", (int,)),
    "top_p": ("gen_ai.request.top_p", (int, float)),
    "top_k": ("gen_ai.request.top_k", (int,)),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", (int, float)),
    "presence_penalty": ("gen_ai.request.presence_penalty", (int, float)),
    "reasoning_effort": ("gen_ai.request.reasoning.level", (str,)),
}
"""By the option of a request: the attribute, and the types of its values."""

PROVIDERS: Final[dict[str, str]] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "amazonaws.com": "aws.bedrock",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
"""By the end of the host's name. Any other host speaks the API of `OTHER_PROVIDER`."""
OTHER_PROVIDER: Final = "openai"

# docs/gen-ai/client-inference.md and gen-ai-token-metrics.md, read on 2026-11-30.
INFERENCE_DURATION: Final = "gen_ai.client.inference.duration"
INFERENCE_FIRST_CHUNK: Final = "gen_ai.client.inference.time_to_first_chunk"
INFERENCE_INPUT: Final = "gen_ai.client.inference.usage.input_tokens"
INFERENCE_OUTPUT: Final = "gen_ai.client.inference.usage.output_tokens"
INFERENCE_CACHE_READ: Final = "gen_ai.client.inference.usage.cache_read.input_tokens"
INFERENCE_CACHE_WRITE: Final = "gen_ai.client.inference.usage.cache_write.input_tokens"
INFERENCE_REASONING: Final = "gen_ai.client.inference.usage.reasoning.output_tokens"
MODALITY: Final = "gen_ai.token.modality"
UNKNOWN: Final = "unknown"
SHORT_BUCKETS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)

# CHANGELOG.md of v0.1.0, read on 2026-11-30: workflows are spans and metrics of agents by another operation.
AGENT_NAME: Final = "gen_ai.agent.name"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
"""The name of a workflow until v0.1.0, which back ends still read. It is set beside `AGENT_NAME`."""

# docs/gen-ai/gen-ai-metrics.md, read on 2026-11-30.
AGENT_DURATION: Final = "gen_ai.invoke_agent.duration"
AGENT_BUCKETS: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
TOOL_DURATION: Final = "gen_ai.execute_tool.duration"

# docs/gen-ai/execute-tool.md, read on 2026-11-30.
EXECUTE_TOOL: Final = "execute_tool"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
FUNCTION: Final = "function"

# docs/registry/attributes/error.md of the semantic conventions 1.44.0: the value for what has no name.
OTHER: Final = "_OTHER"

# No page has a name for costs. Logfire reads the first of these, and Langfuse the second.
COSTS: Final = ("operation.cost", "gen_ai.usage.cost")

# Our own.
OWN: Final = "executionkit."
RETRY_EVENT: Final = "executionkit.retry"
WAIT_EVENT: Final = "executionkit.wait"
REPLAYED: Final = "executionkit.replayed"
PUT_OFF: Final = "executionkit.put_off"
