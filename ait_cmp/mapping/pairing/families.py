"""How the common families of models call the same thing: tables, and no code.

Spellings of Hugging Face, vLLM, SGLang, Megatron, Meta, BERT's and GPT's kind, and ATB, in lower
case with underscores (`Wqkv` is `wqkv`, `LinearQKV` is `linear_qkv`).
"""

from __future__ import annotations

import re

__all__ = [
    "ANYWHERE",
    "COUNTED",
    "IN_ATTENTION",
    "IN_LAYER",
    "IN_MLP",
    "ON_TOP",
    "PARTS",
    "WRAPPERS",
]


_NORM = re.compile(r"(layer|rms|ln)_?norm")
_KIND = re.compile(r"_(operation|node|linear|op|module)$")


def plain(word: str) -> str:
    """`word` without what kind of norm it is, and that it is an operation: both sides may differ
    in these."""
    word = _NORM.sub("norm", word).replace("attention", "attn")
    return _KIND.sub("", word) or word


def _table(**words: str) -> dict[str, str]:
    """spelling -> what it is called here."""
    return {plain(word): name for name, spelled in words.items() for word in spelled.split()}


# Around the model or a module of it; what is inside has the same name without.
WRAPPERS = _table(
    wrapper="model module transformer language_model base_model backbone text_model gpt_neox bert "
    "roberta distilbert _orig_mod _fsdp_wrapped_module _checkpoint_wrapped_module causal_lm",
)

# What is there many times, each with its number behind it or in its name.
COUNTED = _table(
    layers="layers layer h blocks block decoder_layers decoder_layer encoder_layers encoder_layer "
    "transformer_layers transformer_layer prefill_layer decode_layer transformer_block "
    "decoder_block prefill_decoder_layer layer_node decoder_layer_node",
    experts="experts expert local_experts",
)

# Parts of a layer that have parts of their own.
PARTS = _table(
    attn="self_attn attn attention self_attention selfattention mha multi_head_attention "
    "multihead_attention attention_node attn_block self_attn_block attention_layer",
    xattn="encoder_attn cross_attn crossattention cross_attention encdecattention "
    "enc_dec_attention encoder_attention inter_attention",
    mlp="mlp feed_forward ffn ff feedforward densereludense dense_relu_dense block_sparse_moe "
    "mlp_node ffn_node moe sparse_moe mlp_layer feed_forward_layer",
)

# What is itself wherever it stands.
ANYWHERE = _table(
    q="q_proj wq query to_q q_lin linear_q q_linear query_proj q_projection",
    k="k_proj wk key to_k k_lin linear_k k_linear key_proj k_projection",
    v="v_proj wv value to_v v_lin linear_v v_linear value_proj v_projection",
    o="o_proj to_out out_lin attn_out_proj o_linear",
    qkv="qkv_proj c_attn wqkv w_pack qkv in_proj qkv_linear fused_qkv qkv_projection",
    qkv_mixed="query_key_value linear_qkv",
    q_norm="q_norm q_layernorm q_layer_norm query_norm query_layernorm q_ln",
    k_norm="k_norm k_layernorm k_layer_norm key_norm key_layernorm k_ln",
    act_and_mul="swiglu silu_and_mul swi_glu gelu_and_mul act_and_mul swish_glu",
    attn_core="core_attention sdpa flash_attn inner_attention attn_core paged_attention",
    gate="gate_proj gate_linear wi_0",
    up="up_proj c_fc fc1 fc_in dense_h_to_4h linear1 lin1 wi_1 intermediate_dense up_linear",
    down="down_proj fc2 fc_out dense_4h_to_h linear2 lin2 linear_fc2 down_linear",
    fc1="linear_fc1",
    gate_up="gate_up_proj gate_up w13 gate_and_up_proj gate_up_linear w1w3 up_gate_proj",
    router="router gate_router moe_gate",
    act="act_fn activation_fn act activation act_func",
    rotary="rotary_emb rotary rope rotary_pos_emb rotary_embedding rope_emb",
)

IN_ATTENTION = _table(
    q="q",
    k="k",
    v="v",
    o="out_proj c_proj dense proj wo o out dense_proj output_dense linear_proj projection",
    attn_core="attn core",
)

IN_MLP = _table(
    gate="w1",
    up="w3 wi up",
    down="w2 c_proj wo down output_dense proj out_proj",
    router="gate",
)

# Right in a layer, outside its attention and its MLP.
IN_LAYER = _table(
    norm1="input_layernorm pre_norm ln_1 ln1 attention_norm attn_norm norm1 norm_1 input_norm "
    "self_attn_layer_norm pre_attention_layernorm input_layer_norm layernorm1 layer_norm1 "
    "ln_attn pre_attention_norm pre_attn_norm attn_layer_norm",
    norm2="post_attention_layernorm post_norm ln_2 ln2 ffn_norm mlp_norm norm2 norm_2 "
    "pre_mlp_layernorm post_attention_layer_norm layernorm2 layer_norm2 ln_mlp post_attention_norm "
    "final_layer_norm pre_mlp_norm pre_ffn_norm feed_forward_norm pre_feedforward_layernorm "
    "post_attn_norm",
    norm2_post="post_feedforward_layernorm post_ffw_norm post_feedforward_norm post_mlp_layernorm",
    down="output_dense w2",
    up="w3",
    gate="w1",
)

# Outside all layers.
ON_TOP = _table(
    embed="embed_tokens wte tok_embeddings word_embeddings token_embedding token_embeddings "
    "embed_in embedding word_embedding tok_embedding embed token_embd embedding_node",
    pos_embed="wpe embed_positions position_embeddings position_embedding pos_embedding",
    norm="norm ln_f final_layernorm final_norm final_layer_norm norm_f ln_final model_norm "
    "final_rms_norm final_norm_node last_norm",
    lm_head="lm_head logits_processor logits output output_layer embed_out head lmhead",
)
