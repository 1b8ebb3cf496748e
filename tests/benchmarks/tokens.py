"""Do the heatmaps of vision transformers find an object at a known place?

    python tests/benchmarks/tokens.py [--seeds 0,1,2] [--tasks texture,colour]

Images of 32 × 32 pixels show an object of 11 × 11 pixels at a random place. Its texture, in random colours, or its
colour is the class. Small vision transformers with patches of 4 × 4 pixels are trained on 8,000 images: one reads the
class from a class token, the other from the mean of all tokens. On 200 new images for each seed, the share of heatmaps
whose peak lies on the object is measured:

- `attention read`: the default of `lrdiag.GradCAM`. Keras's attention layers can be read.
- `attention hidden`: the same default for the same network, whose attention is a layer of the user's own with the same
  weights, which returns nothing but its result.
- `hirescam`: `method="hirescam"`.
- `rollout`: attention rollout, the same map for every class. Source: Abnar and Zuidema, "Quantifying attention flow in
  transformers" (2020).
- `last block`: Grad-CAM of the tokens before the attention of the last block, as is customary.

Chance is the share of the image that the object covers.

Intervals are Wilson's, over the images of all seeds. Rows are kept in `results/tokens.json` as they come. A network
that is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

import lrdiag
from lrdiag.backend.engine import engine
from lrdiag.explain.paths import forward_of
from lrdiag.intervals import wilson

RESULTS = Path(__file__).parent / "results" / "tokens.json"
SIZE, OBJECT, PATCH = 32, 11, 4  # pixels
WIDTH, BLOCKS, HEADS = 64, 4, 4
TRAINED, EXPLAINED = 8000, 200  # images
EPOCHS = {"texture": 8, "colour": 3}
KINDS = ("class token", "mean of tokens")


# --- images -----------------------------------------------------------------------------------------------------------


def textures(generator: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Backgrounds of blocks, and objects of stripes in one of four directions, all in random colours."""
    rows, columns = np.mgrid[:OBJECT, :OBJECT]
    patterns = np.stack([rows % 4 < 2, columns % 4 < 2, (rows + columns) % 4 < 2, (rows // 2 + columns // 2) % 2 == 0])
    blocks = generator.normal(0.5, 0.15, (len(labels), 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    bright, dark = generator.uniform(0, 1, (2, len(labels), 1, 1, 3)) * [[[[[1.0]]]], [[[[0.3]]]]]
    return blocks, np.where(patterns[labels][..., np.newaxis], bright, dark)


def colours(generator: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey backgrounds, and objects in one of three colours."""
    return np.full((len(labels), SIZE, SIZE, 3), 0.45), 0.45 + 0.35 * np.eye(3)[labels][:, np.newaxis, np.newaxis]


TASKS: dict[str, tuple[Callable[..., tuple[np.ndarray, np.ndarray]], int]] = {
    "texture": (textures, 4),
    "colour": (colours, 3),
}


def draw(task: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, their classes, and where the objects are."""
    generator = np.random.default_rng(seed)
    make, classes = TASKS[task]
    labels = generator.integers(0, classes, count)
    images, objects = make(generator, labels)
    masks = np.zeros((count, SIZE, SIZE), bool)
    for place, (top, left) in enumerate(generator.integers(0, SIZE - OBJECT + 1, (count, 2))):
        masks[place, top : top + OBJECT, left : left + OBJECT] = True
        images[place, top : top + OBJECT, left : left + OBJECT] = objects[place]
    images = images + generator.normal(0, 0.1, images.shape)
    return images.clip(0, 1).astype("float32"), labels, masks


# --- networks ---------------------------------------------------------------------------------------------------------


class ClassToken(layers.Layer):
    """Puts a learned token before the others."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal")

    def call(self, tokens: Any) -> Any:
        return ops.concatenate([ops.repeat(self.token, ops.shape(tokens)[0], axis=0), tokens], axis=1)


class Position(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.added = self.add_weight(shape=(1, *shape[1:]), initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, tokens: Any) -> Any:
        return tokens + self.added


class OwnAttention(layers.Layer):
    """Attention that nothing can be read from."""

    def build(self, shape: tuple[int, ...]) -> None:
        sizes = [(WIDTH, HEADS, WIDTH // HEADS), (HEADS, WIDTH // HEADS)] * 3
        for name, size in zip(("q", "qb", "k", "kb", "v", "vb"), sizes, strict=True):
            setattr(self, name, self.add_weight(shape=size, name=name))
        self.o = self.add_weight(shape=(HEADS, WIDTH // HEADS, WIDTH), name="o")
        self.ob = self.add_weight(shape=(WIDTH,), name="ob")

    def call(self, query: Any, _value: Any) -> Any:
        each = [(self.q, self.qb), (self.k, self.kb), (self.v, self.vb)]
        q, k, v = (ops.einsum("ntc,chd->nhtd", query, kernel) + bias[:, np.newaxis] for kernel, bias in each)
        weights = ops.softmax(ops.einsum("nhtd,nhsd->nhts", q, k) / (WIDTH // HEADS) ** 0.5)
        return ops.einsum("nhts,nhsd,hdc->ntc", weights, v, self.o) + self.ob


def transformer(kind: str, classes: int, *, attention_read: bool = True) -> keras.Model:
    """A vision transformer without trained weights."""
    inputs = keras.Input((SIZE, SIZE, 3))
    tokens = layers.Reshape((-1, WIDTH))(layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(inputs))
    tokens = Position()(ClassToken()(tokens) if kind == "class token" else tokens)
    for block in range(BLOCKS):
        attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS) if attention_read else OwnAttention()
        normalized = layers.LayerNormalization(name=f"before_attention_{block}")(tokens)
        tokens = layers.Add()([tokens, attention(normalized, normalized)])
        hidden = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = layers.Add()([tokens, layers.Dense(WIDTH)(hidden)])
    tokens = layers.LayerNormalization()(tokens)
    pooled = tokens[:, 0] if kind == "class token" else layers.GlobalAveragePooling1D()(tokens)
    return keras.Model(inputs, layers.Dense(classes)(pooled))


def train(task: str, kind: str, seed: int) -> keras.Model:
    """A network that names the class of nearly every object."""
    keras.utils.set_random_seed(seed)
    model = transformer(kind, TASKS[task][1])
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels, _ = draw(task, TRAINED, seed)
    model.fit(images, labels, batch_size=128, epochs=EPOCHS[task], verbose=0)
    return model


def with_own_attention(model: keras.Model, kind: str, images: np.ndarray) -> keras.Model:
    """The same network, whose attention cannot be read."""
    twin = transformer(kind, model.output_shape[-1], attention_read=False)
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-3)
    return twin


# --- heatmaps ---------------------------------------------------------------------------------------------------------


def as_grid(values: np.ndarray) -> np.ndarray:
    """The values of all tokens but the class token, as maps."""
    side = SIZE // PATCH
    return values[:, -side * side :].reshape(-1, side, side)


def rollout(model: keras.Model, kind: str, images: np.ndarray) -> np.ndarray:
    """Attention rollout: half of each token is itself, and half what it attends to."""
    flow = np.eye(1 + (SIZE // PATCH) ** 2 if kind == "class token" else (SIZE // PATCH) ** 2)
    for layer in model.layers:
        if isinstance(layer, layers.MultiHeadAttention):
            tokens = keras.Model(model.inputs, layer.input[0]).predict(images, verbose=0)
            weights = ops.convert_to_numpy(layer(tokens, tokens, return_attention_scores=True)[1]).mean(axis=1)
            flow = (weights + np.eye(weights.shape[-1])) / 2 @ flow
    return as_grid(flow[:, 0] if kind == "class token" else flow.mean(axis=1))


def last_block(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Grad-CAM of the tokens before the last attention."""
    forward = forward_of(model, [model.get_layer(f"before_attention_{BLOCKS - 1}")])
    _, tokens, gradients = engine().with_gradients(forward, images, lambda scores: [ops.max(scores, axis=1)])
    weights = ops.convert_to_numpy(gradients[0][0]).mean(axis=1)
    return as_grid(np.einsum("ntc,nc->nt", ops.convert_to_numpy(tokens[0]), weights))


def measure(task: str, kind: str, seed: int) -> dict[str, Any]:
    """How many images are classified correctly, and how many heatmaps of each method peak on the object."""
    from measures import pointing_game  # beside this script

    started = time.perf_counter()
    model = train(task, kind, seed)
    seconds = round(time.perf_counter() - started)
    images, labels, masks = draw(task, EXPLAINED, 1000 + seed)
    explainer = lrdiag.GradCAM(model)
    maps = {
        "attention read": explainer.maps(images),
        "attention hidden": lrdiag.GradCAM(with_own_attention(model, kind, images)).maps(images),
        "hirescam": lrdiag.GradCAM(model, method="hirescam").maps(images),
        "rollout": rollout(model, kind, images),
        "last block": last_block(model, images),
    }
    right = int((model.predict(images, verbose=0).argmax(axis=1) == labels).sum())
    hits = {name: int(pointing_game(each, masks).sum()) for name, each in maps.items()}
    return {"layer": explainer.layer, "grid": explainer.token_grid, "right": right, "seconds": seconds, "hits": hits}


def table(rows: dict[str, Any], tasks: list[str]) -> str:
    """The share of hits of each network, over all its seeds, with its interval."""
    lines = ["| images | class from | method | on the object | 95 % | of each seed |", "|---|---|---|---:|---|---|"]
    for task in tasks:
        for kind in KINDS:
            runs = [row for name, row in rows.items() if name.startswith(f"{task}, {kind}, ")]
            for method in runs[0]["hits"] if runs else ():
                hits, trials = [run["hits"][method] for run in runs], EXPLAINED * len(runs)
                low, high = wilson(sum(hits), trials)
                each = ", ".join(f"{hit / EXPLAINED:.2f}" for hit in hits)
                lines.append(
                    f"| {task} | {kind} | {method} | {sum(hits) / trials:.2f} | {low:.2f}–{high:.2f} | {each} |"
                )
    return "\n".join([*lines, f"Chance: {(OBJECT / SIZE) ** 2:.2f}"])


def main() -> None:
    """Measures the networks that are missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--tasks", default=",".join(TASKS))
    arguments = parser.parse_args()
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    tasks = arguments.tasks.split(",")
    for task in tasks:
        for kind in KINDS:
            for seed in arguments.seeds.split(","):
                name = f"{task}, {kind}, seed {seed}"
                if name not in rows:
                    rows[name] = measure(task, kind, int(seed))
                    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
                    print(name, rows[name], flush=True)
    print(table(rows, tasks))


if __name__ == "__main__":
    main()
