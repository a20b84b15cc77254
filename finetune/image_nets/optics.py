"""What a moving camera and a missed focus do to a photo, and what cameras and web pages do to all.

A lens and a shutter work on light, not on levels: photos are blurred in linear light, in which a
lamp is many times as bright as white paper, so that it draws a line.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

GAMMA = 2.2
_STEPS = 64
"""Moments of one exposure."""
_WHITE = 0.82
"""Linear light from which a level may stand for more than it can show."""


def trajectory(length: float, rng: np.random.Generator) -> np.ndarray:
    """The (K, K) kernel of a hand that moves: straight, in an arc or trembling, ``length`` pixels
    from end to end, now and then with a rest, which leaves a ghost image (after Boracchi and Foi
    2012, without their optics). Its sum is 1."""
    speed = np.abs(rng.normal(1, 0.5, _STEPS)) + 0.02
    draw = rng.random()
    if draw < 0.3:
        turns = np.zeros(_STEPS)
    elif draw < 0.6:
        turns = np.full(_STEPS, rng.normal(0, 0.03))
    else:
        turns = rng.normal(0, 0.35, _STEPS)
    stays = np.ones(_STEPS)
    if rng.random() < 0.35:
        for moment in rng.integers(0, _STEPS, rng.integers(1, 3)):
            stays[moment] = rng.uniform(8, 40)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    path = np.stack([np.cumsum(speed * np.cos(heading)), np.cumsum(speed * np.sin(heading))])
    path *= length / math.hypot(*np.ptp(path, axis=1))
    path -= (path.max(1, keepdims=True) + path.min(1, keepdims=True)) / 2
    half = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for x, y, stay in zip(*path, stays, strict=True):
        column, row = math.floor(x), math.floor(y)
        right, below = x - column, y - row
        for dx, across in ((0, 1 - right), (1, right)):
            for dy, down in ((0, 1 - below), (1, below)):
                kernel[row + half + dy, column + half + dx] += stay * across * down
    return np.asarray(kernel / kernel.sum())


def disc(radius: float) -> np.ndarray:
    """The (K, K) kernel of a missed focus: a disc of confusion of so many pixels. Its sum is 1."""
    half = math.ceil(radius) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(kernel / kernel.sum())


def apply_kernel(photo: np.ndarray, kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) levels, 0 to 255, as they are after a kernel went over their light."""
    light = (np.clip(photo, 0, 255) / 255).astype(np.float32) ** GAMMA
    if rng.random() < 0.6:
        light += rng.uniform(0, 6) * np.maximum(light - _WHITE, 0)
    light = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(255 * np.clip(light, 0, 1) ** (1 / GAMMA))


def with_soft_background(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) levels with a blob in focus and the rest far out of it, as it should be."""
    height, width = photo.shape
    x, y = rng.uniform(0.2, 0.8, 2)
    wide, high = rng.uniform(0.15, 0.4, 2)
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot((columns / width - x) / wide, (rows / height - y) / high)
    kept = np.clip((1.3 - away) / 0.3, 0, 1)
    soft = apply_kernel(photo, disc(rng.uniform(1.5, 6)), rng)
    return np.asarray(kept * photo + (1 - kept) * soft)


def processed(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) levels after what happens to any photo on its way: softened a little, sharpened,
    another tone curve, grain."""
    if rng.random() < 0.35:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.25, 0.6))
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.5, 1.3))
        photo = photo + rng.uniform(0.2, 1.6) * (photo - soft)
    if rng.random() < 0.4:
        photo = 255 * (np.clip(photo, 0, 255) / 255) ** rng.uniform(0.6, 1.7)
    if rng.random() < 0.3:
        photo = photo + rng.normal(0, rng.uniform(1, 9), photo.shape)
    return np.asarray(np.clip(photo, 0, 255), dtype=np.uint8)


def saved_as_jpeg(photo: np.ndarray, quality: int) -> np.ndarray:
    """(H, W) uint8 levels after a JPEG."""
    written = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
