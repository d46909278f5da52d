"""Write a llama model of random weights as GGUF: `python tiny_model.py OUT.gguf`, where `gguf` is installed.

What it says means nothing, but it is said by a real server: random words, and an end every so often. With
a grammar or a JSON schema imposed it says what fits. It runs with the server's interpreter, which has `gguf`.
"""

import sys
from typing import Any

import gguf
import numpy as np

WORDS = """
a an and as at be bird blue but by can cat clear cloud cold day dog down dry each end few field fish
for from go good grass green grey hail he her high hill his how if in is it keep lamp land late leaf
light line long low man moon more name near new night no north now of old on one or out over rain
red rest river road run sand sea see she sky slow small snow so some south star stone sun the then
they tide time to tree two under up warm was water wave we well west what when where who will wind
with word you young
"""

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 4096

CONTROL, BYTE, NORMAL, UNKNOWN = (
    gguf.TokenType.CONTROL,
    gguf.TokenType.BYTE,
    gguf.TokenType.NORMAL,
    gguf.TokenType.UNKNOWN,
)


def vocabulary() -> list[tuple[str, float, Any, float]]:
    """The tokens: text, score, kind, and how likely they are to be said (a logit)."""
    special = [("<unk>", 0.0, UNKNOWN, -30.0), ("<s>", 0.0, CONTROL, -30.0), ("</s>", 0.0, CONTROL, 1.5)]
    # Bytes are for reading any prompt and for what a grammar asks for.
    single = [(f"<0x{byte:02X}>", 0.0, BYTE, -9.0) for byte in range(256)]
    # "\u2581" is how this kind of vocabulary writes a space.
    words = [(f"\u2581{word}", -float(rank), NORMAL, 0.0) for rank, word in enumerate(WORDS.split())]
    return special + single + words


def write(path: str) -> None:
    """Write the model."""
    tokens = vocabulary()
    random = np.random.default_rng(7)

    def weights(rows: int, columns: int, scale: float = 0.05) -> Any:
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random words")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, *_ in tokens])
    writer.add_token_scores([score for _, score, *_ in tokens])
    writer.add_token_types([kind for _, _, kind, _ in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)

    # The first dimension is the same for every token; through it the output weights give each its likelihood.
    embedding = weights(len(tokens), WIDTH, 0.3)
    embedding[:, 0] = 4.0
    writer.add_tensor("token_embd.weight", embedding)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", weights(WIDTH, WIDTH))
        writer.add_tensor(f"{block}.ffn_gate.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", weights(WIDTH, INNER))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    # After the last norm the first dimension is about the root of the width, the others small.
    output = weights(len(tokens), WIDTH, 0.3)
    output[:, 0] = np.array([logit for *_, logit in tokens], np.float32) / np.sqrt(WIDTH)
    writer.add_tensor("output.weight", output)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
