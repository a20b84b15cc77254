"""Writes critiques of tuning photos with a trained language model, to be read beside the photos.

python -m finetune.nano.write_critiques --data DATA --cache CACHE --tower TOWER --run RUN --out texts.jsonl
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano.cache import ViewSet
from finetune.nano.data import Dataset
from finetune.nano.language import IMAGE_TOKENS, CritiqueModel
from finetune.nano.texts import TowerCache, load_critic
from finetune.nano.tower import load
from vlm_aes import files

MAX_NEW_TOKENS = 120
WRITING_BATCH_PHOTOS = 8


@torch.inference_mode()
def write(
    model: CritiqueModel,
    tokenizer: Any,
    places: Tensor,
    heads: Tensor,
    prompts: Sequence[Sequence[int]],
    **options: Any,
) -> list[str]:
    """What the model writes after each prompt.

    Args:
        places, heads: inputs of the projector.
        prompts: ids of each prompt, with the question.
        options: of ``generate``.
    """
    length, end = max(map(len, prompts)), tokenizer.eos_token_id
    ids = torch.tensor([[end] * (length - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * (IMAGE_TOKENS + len(p)) for p in prompts])
    image = model.projector(places, heads)
    texts = model.language.get_input_embeddings()(ids)
    # padding stands before the image, so that image and text adjoin
    rows = [
        torch.cat([texts[i, : length - len(p)], image[i], texts[i, length - len(p) :]]) for i, p in enumerate(prompts)
    ]
    written = model.language.generate(
        inputs_embeds=torch.stack(rows),
        attention_mask=mask,
        max_new_tokens=MAX_NEW_TOKENS,
        pad_token_id=end,
        eos_token_id=end,
        use_cache=True,
        **options,
    )
    return [str(text) for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "cache", "tower", "run", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--temperature", type=float, default=0.0, help="of sampling; 0 is greedy")
    a = parser.parse_args()
    torch.set_num_threads(2)
    dataset, tower = Dataset(a.data), load(a.tower)
    cache = TowerCache(tower, ViewSet(a.cache, "para"), a.tower)
    model, prompts = load_critic(a.run, tower.labels)
    tokenizer = prompts.tokenizer
    rows = [i for i, view in enumerate(cache.view_set.views) if dataset.labels[view.photo].split == "tuning"]
    rows = [i for i in rows if any("critique" in text for text in dataset.labels[cache.view_set.views[i].photo].texts)]
    rows = rows[:: max(1, len(rows) // a.photos)][: a.photos]
    sampling = (
        {"do_sample": True, "temperature": a.temperature, "top_p": 0.9} if a.temperature else {"do_sample": False}
    )
    lines = []
    for start in range(0, len(rows), WRITING_BATCH_PHOTOS):
        part = rows[start : start + WRITING_BATCH_PHOTOS]
        places, seen = zip(*map(cache, part), strict=True)
        stated = [prompts.prompt(own.score, prompts.stated(own)) for own in seen]
        heads = torch.from_numpy(np.stack([own.hidden for own in seen]))
        ids = [prompts.ids(text) for text in stated]
        for row, prompt, text in zip(
            part, stated, write(model, tokenizer, torch.stack(places), heads, ids, **sampling), strict=True
        ):
            photo = cache.view_set.views[row].photo
            line = {"photo": photo, "row": row, "prompt": prompt, "text": text, "own": dataset.labels[photo].texts[0]}
            lines.append(json.dumps(line, ensure_ascii=False))
            print(f"{photo} |{prompt} |{text}\n", flush=True)
    files.write_text(a.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
