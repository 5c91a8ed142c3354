"""A Llama of four layers with random weights that generates four tokens: a script to dump.

    python scripts/tiny_llama.py DTYPE [scaled]

With `scaled` it has a fault: 32 rows of one weight of layer 2 are a tenth too large.
"""

from __future__ import annotations

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=1000,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
)
model = LlamaForCausalLM(config).eval().to(getattr(torch, sys.argv[1]))
if "scaled" in sys.argv:
    model.model.layers[2].mlp.up_proj.weight.data[64:96] *= 1.1
model.generate(torch.arange(8)[None], max_new_tokens=4, do_sample=False, pad_token_id=0)
