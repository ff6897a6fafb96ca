#!/usr/bin/env python3
"""Lists the sequences in a checkpoint folder of Windlass, with h5py alone: list_checkpoint.py FOLDER"""
import glob
import os
import sys

import h5py


def main(folder):
    masters = sorted(glob.glob(os.path.join(folder, "checkpoint-*.h5")))
    if not masters:
        sys.exit(f"{folder}: no checkpoint there")
    with h5py.File(masters[-1], "r") as master:
        attributes = {name: value.decode() if isinstance(value, bytes) else value
                      for name, value in master.attrs.items()}
        print(f"checkpoint {attributes['number']}: model {attributes['model']}, {attributes['arithmetic']}, "
              f"KV as {attributes['kv_format']}")
        for index, name in enumerate(master["parts"][:]):
            part = master[f"part{index}"]  # an external link to the part's file
            print(f"{name.decode()}: {len(part['requests'])} requests, {len(part['blocks'])} blocks, "
                  f"{len(part['pages'])} pages")
            for request in part["requests"][:]:
                first, count = int(request["first_choice"]), int(request["choices"])
                for choice in part["choices"][first:first + count]:
                    begin = int(choice["first_token"])
                    tokens = part["tokens"][begin:begin + int(choice["prompt_tokens"]) + int(choice["generated_tokens"])]
                    print(f"  request {int(request['name_high']):016x}{int(request['name_low']):016x} "
                          f"choice {choice['choice']}: {choice['prompt_tokens']} prompt, "
                          f"{choice['generated_tokens']} generated, KV of {choice['computed']}, "
                          f"last tokens {tokens[-4:].tolist()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
