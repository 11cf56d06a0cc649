"""A picture that Chromium takes for what a phone's camera sees: a film of one frame, written by hand."""

from __future__ import annotations

from pathlib import Path

import segno

WIDTH, HEIGHT = 640, 480
_MODULE = 6
_DARK, _LIGHT, _GREY = 30, 220, 128


def flags(film: Path) -> list[str]:
    """What Chromium is started with to see `film`, and to ask nobody whether it may."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]


def film_of(link: str, path: Path) -> Path:
    """A YUV4MPEG2 film in which the QR picture of `link` is shown, as on a projector, in the middle of a grey wall."""
    picture = [list(row) for row in segno.make(link, micro=False, error="l").matrix_iter(border=4)]
    side = len(picture) * _MODULE
    left, top = (WIDTH - side) // 2, (HEIGHT - side) // 2
    luma = bytearray([_GREY]) * (WIDTH * HEIGHT)
    for row, modules in enumerate(picture):
        line = b"".join(bytes([_DARK if dark else _LIGHT]) * _MODULE for dark in modules)
        for y in range(top + row * _MODULE, top + (row + 1) * _MODULE):
            luma[y * WIDTH + left : y * WIDTH + left + side] = line
    colour = bytes([128]) * (WIDTH * HEIGHT // 2)
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n"
    path.write_bytes(head.encode() + b"FRAME\n" + bytes(luma) + colour)
    return path
