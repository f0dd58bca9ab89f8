"""H&E images of a folder to IHC with an exported graph: python onnx_folder.py generator.onnx IN OUT.

Needs onnxruntime, NumPy and Pillow; not vsbench. Images are translated whole.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

graph, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(graph)
card = session.get_modelmeta().custom_metadata_map
multiple, smallest = int(card["size_multiple"]), int(card["smallest"])
Path(target).mkdir(parents=True, exist_ok=True)
for file in sorted(Path(source).iterdir()):
    if file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        continue
    he = np.asarray(Image.open(file).convert("RGB"), np.float32)
    height, width, _ = he.shape
    more = [max(-(-side // multiple) * multiple, smallest) - side for side in (height, width)]
    he = np.pad(he, ((0, more[0]), (0, more[1]), (0, 0)), "reflect")  # the network wants sides of such multiples
    feed = {"he": (he / 127.5 - 1).transpose(2, 0, 1)[None]}
    draw = np.random.default_rng(0)  # methods that sample: the same draw for all images of a size
    for noise in session.get_inputs()[1:]:
        feed[noise.name] = draw.standard_normal(feed["he"].shape, np.float32)
    ihc = session.run(["ihc"], feed)[0][0].transpose(1, 2, 0)[:height, :width]
    Image.fromarray(np.rint(127.5 * (ihc + 1)).clip(0, 255).astype(np.uint8)).save(Path(target, f"{file.stem}.png"))
