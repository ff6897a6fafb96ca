#!/usr/bin/env python3
"""Makes the seeds of the template and tokenizer fuzzers: chat_template/ and tokenizer/.

    pip install gguf numpy && python make_text_corpus.py
"""

import base64
import json
import struct
import sys
from pathlib import Path

import gguf

HERE = Path(__file__).parent
TEMPLATES = HERE.parent / "chat_templates"
sys.path.insert(0, str(TEMPLATES))
import language_cases  # noqa: E402

DIVIDER = "\n--------\n"


def byte_alphabet():
    """GPT-2's letters for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b if b in plain else 256 + others.index(b)) for b in range(256)]


def write_templates():
    folder = HERE / "chat_template"
    folder.mkdir(exist_ok=True)
    conversations = json.loads((TEMPLATES / "conversations.json").read_text())
    for name, conversation in [("chatml-tools", "tools_called"), ("headers-and-date", "tools_called_twice"),
                               ("instructions", "reasoning"), ("turns", "parts")]:
        model = json.loads((TEMPLATES / "models" / (name + ".json")).read_text())
        variables = {"messages": conversations["conversations"][conversation], "tools": conversations["tools"],
                     "add_generation_prompt": True, **model["special_tokens"]}
        (folder / name).write_text(model["template"] + DIVIDER + json.dumps(variables, ensure_ascii=False))
    variables = json.dumps(language_cases.VARIABLES, ensure_ascii=False)
    for name, lines in {**language_cases.ONE_LINE, "lines": "\n".join(language_cases.MANY_LINES.values()),
                        "errors": "\n".join(language_cases.ERRORS.values())}.items():
        (folder / name).write_text(lines + DIVIDER + variables)
    calls = ['Text <tool_call>\n{"name": "f", "arguments": {"x": "</tool_call>"}}\n</tool_call> more',
             '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {"a": [1]}}\n<|python_tag|>{"type": "function"']
    (folder / "calls").write_text("{{ t }}\n{{ u }}" + DIVIDER + json.dumps({"t": calls[0], "u": calls[1]}))


def added(content, number, **flags):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **flags}


def write_json(name, model, tokens=3, **parts):
    specials = [added("<unk>", tokens, normalized=True), added("<s>", tokens + 1, lstrip=True, rstrip=True),
                added("</s>", tokens + 2, single_word=True)]
    value = {"version": "1.0", "added_tokens": specials, "normalizer": None, "pre_tokenizer": None,
             "post_processor": None, "decoder": None, **parts, "model": model}
    (HERE / "tokenizer" / (name + ".json")).write_text(json.dumps(value, ensure_ascii=False))


def write_byte_bpe():
    words = [*byte_alphabet()[32:127], "he", "ll", "hell", "Ġw", "Ġwo", "Ġwor", "aa", "aaaa"]
    merges = ["h e", "l l", "he ll", "Ġ w", "Ġw o", "Ġwo r", "a a", "aa aa"]
    split = {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"},
             "behavior": "Isolated", "invert": False}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    write_json("byte_bpe", {"type": "BPE", "ignore_merges": True, "vocab": {w: i for i, w in enumerate(words)},
                            "merges": merges}, len(words), normalizer={"type": "NFC"}, post_processor=template,
               pre_tokenizer={"type": "Sequence", "pretokenizers": [split, byte_level]}, decoder=byte_level)


def write_character_bpe():
    words = ["<unk>", "▁", "h", "e", "l", "o", "▁h", "he", "ll", "é", *(f"<0x{b:02X}>" for b in range(0, 256, 5))]
    merges = [["▁", "h"], ["h", "e"], ["l", "l"]]
    normalizer = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "NFKD"},
        {"type": "Strip", "strip_left": True, "strip_right": False}]}
    decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    write_json("character_bpe", {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                                 "vocab": {w: i for i, w in enumerate(words)}, "merges": merges}, len(words),
               normalizer=normalizer, decoder=decoder)


def charsmap():
    """SentencePiece's precompiled map: a double array of one node, and replacements."""
    units = struct.pack("<4I", *([0] * 4))
    return base64.b64encode(struct.pack("<I", len(units)) + units + b"a\0bc\0").decode()


def write_unigram():
    words = [["<unk>", 0.0], ["▁", -2.0], ["▁he", -1.5], ["llo", -3.25], ["l", -4.0], ["o", -4.0], ["aa", -1.0]]
    pre = {"type": "Sequence", "pretokenizers": [
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
        {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "MergedWithPrevious"},
        {"type": "Split", "pattern": {"String": "l"}, "behavior": "MergedWithNext", "invert": True},
        {"type": "CharDelimiterSplit", "delimiter": "x"}, {"type": "WhitespaceSplit"}]}
    write_json("unigram", {"type": "Unigram", "unk_id": 0, "vocab": words, "byte_fallback": False}, len(words),
               normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap()}, pre_tokenizer=pre,
               decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True})


def write_gguf(name, model, tokens, **fields):
    out = gguf.GGUFWriter(HERE / "tokenizer" / (name + ".gguf"), "llama")
    out.add_tokenizer_model(model)
    out.add_token_list(tokens)
    out.add_token_scores([-float(i) for i in range(len(tokens))])
    out.add_token_types([6 if t.startswith("<0x") else 3 if t.startswith("<") else 1 for t in tokens])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    for method, value in fields.items():
        getattr(out, method)(value)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def write_ggufs():
    letters = byte_alphabet()
    write_gguf("gpt2", "gpt2", ["<unk>", "<s>", "</s>", *letters[32:127], "he", "ll", "hell"],
               add_tokenizer_pre="llama-bpe", add_token_merges=["h e", "l l", "he ll"])
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(0, 256, 3)), "▁", "h", "e", "▁he", "l", "ll", "o"]
    write_gguf("llama", "llama", pieces, add_add_bos_token=True, add_add_space_prefix=True)
    write_gguf("t5", "t5", pieces, add_precompiled_charsmap=base64.b64decode(charsmap()),
               add_remove_extra_whitespaces=True, add_add_eos_token=True)


def write_texts():
    texts = {
        "english": "Isn't it 12345 o'clock?  They'll say \"we've\" -- no!\n\n  Tabs\tand\r\nlines   ",
        "code": "for (int i=0;i<10;++i) {\n\t\ta[i] += b->c(0x1F); // ÄÖÜ\n}\n\n\n#define X(y) y##_z\n",
        "cjk": "你好，世界！这是一个测试。 こんにちは カタカナ が゙ 한국어 텍스트 １２３",
        "marks": "e\u0301 a\u0308\u0323 \u0915\u094d\u0937 \u0e01\u0e33 \u05d0\u05b7 \U0001f468\u200d\U0001f469 " + "\u0301" * 40,
        "special": "<|im_start|>user\n<|im_end|><s></s><unk><|endoftext|> <0x41> ▁▁x \0 \u2028\u00a0\u3000",
        "spaces": " " * 70 + "\n" * 70 + "a" * 70,
    }
    for name, text in texts.items():
        (HERE / "tokenizer" / (name + ".txt")).write_text(text)


def main():
    write_templates()
    (HERE / "tokenizer").mkdir(exist_ok=True)
    write_byte_bpe()
    write_character_bpe()
    write_unigram()
    write_ggufs()
    write_texts()


if __name__ == "__main__":
    main()
