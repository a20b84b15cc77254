"""The audit of a checkpoint over validation photos, as ``vlm-aes audit`` would give it.

The photos of a data folder in PARA's layout are written to a folder that is taken away again.

    python benchmarks/audit.py --data PARA --checkpoint DIR [--photos 500]
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from options import options

from finetune.photos import draw_photos
from vlm_aes import Assessor
from vlm_aes.explain.audit import audit


def main() -> None:
    parser = options(__doc__, data=True, checkpoint=True)
    parser.add_argument("--photos", type=int, default=500)
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for image_id, image in draw_photos(a.data, "validation", a.photos):
            path = Path(folder) / f"{image_id}.png"
            image.save(path)
            paths.append(str(path))
        print(json.dumps(audit(assessor, paths), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
