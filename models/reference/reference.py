"""Reference values for the tests of the default pack, computed without the engine and without its embedder:

    pip install numpy pillow onnxruntime==1.28.0 dlib-bin
    python reference.py PACK_FOLDER DLIB_NETWORK PHOTOGRAPH_FOLDER > mtcnn-dlib.json

The cascade runs as the `mtcnn` package runs it (area resizing in floating point, its own form of suppression), the
similarity transform comes from a singular value decomposition (Umeyama 1991, in general form), and the embedding from
dlib itself with its original network file, so the conversion is checked too. The engine differs by design: it resizes
in 8 bits, suppresses greedily and decodes JPEG with another decoder. The tests state the tolerances.
"""

import json
import sys
from pathlib import Path

import dlib
import numpy as np
import onnxruntime
from PIL import Image

PHOTOGRAPHS = ["obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2", "biden"]
MIN_FACE, FACTOR = 40, 0.709
TEMPLATE = np.array([(47.5492, 46.5990), (100.4761, 46.5990), (74.0127, 76.5625), (50.4149, 103.0233), (97.6104, 103.0233)])
SIDE = 150


class Cascade:
    def __init__(self, folder):
        self.nets = {name: onnxruntime.InferenceSession(str(Path(folder) / f"{name}.onnx")) for name in ("pnet", "rnet", "onet")}

    def run(self, name, planes):
        session = self.nets[name]
        values = session.run(None, {"input": planes.astype(np.float32)})
        return {output.name: value for output, value in zip(session.get_outputs(), values)}

    def detect(self, image):
        normalised = (image.astype(np.float64) - 127.5) / 128
        boxes = self.propose(normalised)
        result = self.run("rnet", patches(normalised, boxes, 24))
        boxes = refine(boxes, result, 0.7)
        boxes = squared(suppress(boxes, 0.7))
        result = self.run("onet", patches(normalised, boxes, 48))
        sizes = boxes[:, 2:4] - boxes[:, 0:2] + 1
        xs = result["landmarks"][:, :5] * sizes[:, 0:1] + boxes[:, 0:1] - 1
        ys = result["landmarks"][:, 5:] * sizes[:, 1:2] + boxes[:, 1:2] - 1
        boxes = np.concatenate([boxes, xs, ys], axis=1)
        boxes = refine(boxes, result, 0.8)
        return suppress(boxes, 0.7, minimum=True)

    def propose(self, image):
        height, width = image.shape[:2]
        found, scale = [], 12 / MIN_FACE
        while min(height, width) * scale >= 12:
            small = area_resize(image, int(height * scale), int(width * scale))
            result = self.run("pnet", small.transpose(2, 0, 1)[None])
            scores = result["prob"][0, 1]
            rows, columns = np.where(scores > 0.6)
            corners = np.stack([columns, rows, columns, rows], axis=1) * 2 + np.array([1, 1, 12, 12])
            corners = corners + result["box"][0][:, rows, columns].T * 11
            found.append(suppress(np.column_stack([corners / scale, scores[rows, columns]]), 0.5))
            scale *= FACTOR
        return squared(suppress(np.concatenate(found), 0.7))


def area_resize(image, height, width):
    """Averages over exact source areas, pixels at the edges by their share."""

    def weights(source, target):
        edges = np.arange(target + 1) * source / target
        starts, ends = edges[:-1, None], edges[1:, None]
        cells = np.arange(source)[None]
        return np.clip(np.minimum(ends, cells + 1) - np.maximum(starts, cells), 0, None) * target / source

    return np.einsum("yh,hwc,xw->yxc", weights(image.shape[0], height), image, weights(image.shape[1], width), optimize=True)


def bilinear(image, xs, ys):
    height, width = image.shape[:2]
    xs, ys = np.clip(xs, 0, width - 1), np.clip(ys, 0, height - 1)
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (xs - x0)[..., None], (ys - y0)[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def patches(image, boxes, side):
    height, width = image.shape[:2]
    steps = np.linspace(0, 1, side)
    result = []
    for x1, y1, x2, y2 in boxes[:, :4]:
        xs = (x1 + steps * (x2 - x1)) / width * (width - 1)
        ys = (y1 + steps * (y2 - y1)) / height * (height - 1)
        grid_x, grid_y = np.meshgrid(xs, ys)
        patch = bilinear(image, grid_x, grid_y)
        outside = (grid_x < 0) | (grid_x > width - 1) | (grid_y < 0) | (grid_y > height - 1)
        patch[outside] = 0
        result.append(patch.transpose(2, 0, 1))
    return np.stack(result)


def refine(boxes, result, min_score):
    sizes = np.tile(boxes[:, 2:4] - boxes[:, 0:2] + 1, 2)
    boxes = boxes.copy()
    boxes[:, :4] += result["box"] * sizes
    boxes[:, 4] = result["prob"][:, 1]
    return boxes[boxes[:, 4] > min_score]


def suppress(boxes, threshold, minimum=False):
    """As the package does it: a box goes when any box with a higher score overlaps it, suppressed itself or not."""
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    lows = np.maximum(boxes[:, None, 0:2], boxes[None, :, 0:2])
    highs = np.minimum(boxes[:, None, 2:4], boxes[None, :, 2:4])
    shared = np.prod(np.clip(highs - lows, 0, None), axis=2)
    areas = np.prod(boxes[:, 2:4] - boxes[:, 0:2], axis=1)
    whole = np.minimum(areas[:, None], areas) if minimum else areas[:, None] + areas - shared
    return boxes[~np.any(np.triu(shared / whole > threshold, 1), axis=0)]


def squared(boxes):
    boxes = boxes.copy()
    centres = (boxes[:, 0:2] + boxes[:, 2:4]) / 2
    half = np.max(boxes[:, 2:4] - boxes[:, 0:2], axis=1, keepdims=True) / 2
    boxes[:, 0:2], boxes[:, 2:4] = centres - half, centres + half
    return boxes


def umeyama(source, target):
    """Equations 38 to 43 of the paper, for the plane."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centred, target_centred = source - source_mean, target - target_mean
    covariance = target_centred.T @ source_centred / len(source)
    u, d, vt = np.linalg.svd(covariance)
    signs = np.array([1, np.sign(np.linalg.det(covariance))])
    rotation = u @ np.diag(signs) @ vt
    scale = (d * signs).sum() / source_centred.var(0).sum()
    return scale * rotation, target_mean - scale * rotation @ source_mean


def align(image, landmarks):
    matrix, shift = umeyama(landmarks, TEMPLATE)
    inverse = np.linalg.inv(matrix)
    samples = int(np.clip(np.round(np.sqrt(np.linalg.det(inverse))), 1, 6))
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    places = (np.arange(SIDE)[:, None] + offsets).ravel()
    xs, ys = np.meshgrid(places, places)
    source = (np.stack([xs, ys], axis=-1) - shift) @ inverse.T
    chip = bilinear(image.astype(np.float64), source[..., 0], source[..., 1])
    return chip.reshape(SIDE, samples, SIDE, samples, 3).mean((1, 3))


def embed(network, chip):
    chip = np.round(chip).astype(np.uint8)
    views = [np.ascontiguousarray(view) for view in (chip, chip[:, ::-1])]
    total = sum(np.array(network.compute_face_descriptor(view)) for view in views)
    return total / np.linalg.norm(total)


def main(pack, network, photographs):
    cascade = Cascade(pack)
    embedder = dlib.face_recognition_model_v1(network)
    result = {}
    for name in PHOTOGRAPHS:
        image = np.array(Image.open(Path(photographs) / f"{name}.jpg").convert("RGB"))
        faces = []
        for row in cascade.detect(image):
            landmarks = np.stack([row[5:10], row[10:15]], axis=1)
            faces.append(
                {
                    "box": [round(float(value), 2) for value in row[:4]],
                    "score": round(float(row[4]), 4),
                    "landmarks": [[round(float(value), 2) for value in point] for point in landmarks],
                    "embedding": [round(float(value), 5) for value in embed(embedder, align(image, landmarks))],
                }
            )
        result[name] = faces
    print(json.dumps(result, separators=(",", ":")).replace('"obama', '\n"obama').replace('"biden', '\n"biden'))


if __name__ == "__main__":
    main(*sys.argv[1:])
