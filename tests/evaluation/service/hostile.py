"""Requests that nobody means well with, and what must come of each: a refusal or a failed job."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from evaluation_sets import onnx_model, png, samples_of, scores_csv, true_mask, zip_of

from millsight.evaluation.service.config import DatasetConfig

ZIP, JSON, CSV = "application/zip", "application/json", "text/csv"


@dataclass(frozen=True)
class Attack:
    """One submission.

    Attributes:
        name: What it tries.
        media: Its Content-Type.
        body: Its content.
        harmless: Whether it may also be judged, since it only looks odd.
    """

    name: str
    media: str
    body: bytes
    harmless: bool = False


def archive_with(name: str, content: bytes = b"x", **attributes: int) -> bytes:
    out = io.BytesIO()
    info = zipfile.ZipInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, content)
    return out.getvalue()


def archives() -> Iterator[Attack]:
    names = [
        "../up.png",
        "/etc/cron.d/x.png",
        "a/../../up.png",
        "C:\\x.png",
        "..\\up.png",
        "a\0.png",
    ]
    names += ["con.png", "a/" * 20 + "x.png", "x.png ", "\u202egnp.exe", "x" * 300 + ".png"]
    for name in names:
        yield Attack(f"traversal {name!r:.30}", ZIP, archive_with(name))
    link = (stat.S_IFLNK | 0o777) << 16
    yield Attack("link", ZIP, archive_with("scores.csv", b"/etc/passwd", external_attr=link))
    yield Attack("device", ZIP, archive_with("x.png", external_attr=stat.S_IFCHR << 16))
    yield Attack("bomb", ZIP, zip_of({"scores.csv": b"0" * (300 << 20)}))
    yield Attack("nested", ZIP, zip_of({"x.png": zip_of({"y.png": b"1"})}))
    yield Attack("many files", ZIP, zip_of({f"{n}.png": b"" for n in range(20_100)}))
    yield Attack("twice", ZIP, _twice())
    yield Attack("program", ZIP, zip_of({"run.sh": b"rm -rf /"}))
    whole = zip_of({"scores.csv": b"file,score\n" * 1000})
    lied = bytearray(whole)
    at = lied.rfind(b"PK\x01\x02")
    lied[at + 24 : at + 28] = struct.pack("<I", 5)
    yield Attack("lied size", ZIP, bytes(lied))
    yield Attack("cut off", ZIP, whole[:-30])
    yield Attack("no zip", ZIP, b"\x00\xff" * 5000)
    yield Attack("only an end", ZIP, b"PK\x05\x06" + b"\xff" * 18)


def _twice() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("A.png", b"1")
        archive.writestr("a.PNG", b"2")
    return out.getvalue()


def documents(config: DatasetConfig) -> Iterator[Attack]:
    sample = samples_of(config)[0]
    entry = {"image_id": sample.id, "category_id": "pit", "bbox": [1, 1, 5, 5], "score": 0.5}
    odd = [
        {"bbox": [0, 0, 1e308, 5]}, {"bbox": [0, 0, -5, 5]}, {"bbox": [1, 2]}, {"bbox": "x"},
        {"bbox": [None] * 4}, {"image_id": 10**400}, {"image_id": []}, {"image_id": "../../x"},
        {"category_id": 7}, {"category_id": None}, {"score": "high"}, {"score": None},
        {"score": [1]}, {"bbox": [[1], 2, 3, 4]}, {"image_id": {"a": 1}},
    ]  # fmt: skip
    for change in odd:
        yield Attack(f"box {change!r:.40}", JSON, json.dumps([{**entry, **change}]).encode())
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = json.dumps([entry]).replace("0.5", value)
        yield Attack(f"score {value}", JSON, text.encode())
    for text in (
        "[" * 200_000,
        '{"a":' * 100_000,
        "",
        "null",
        "{}",
        "[1]",
        "\ufeff[]",
        "[{}]",
        '"x"',
    ):
        yield Attack(f"json {text[:12]!r}", JSON, text.encode() or b" ", text == "\ufeff[]")
    yield Attack("json bytes", JSON, bytes(range(256)) * 10)
    yield Attack("json of brackets", JSON, b"[" + b"{}," * 3_000_000 + b"{}]")
    yield Attack("long number", JSON, b"[" + b"9" * 1_000_000 + b"]")


def tables(config: DatasetConfig) -> Iterator[Attack]:
    samples = samples_of(config)
    full = scores_csv([(sample.id, 0.5) for sample in samples])
    cells = ["nan", "inf", "1e999", "=cmd|' /C calc'!A0", "", "0x10", "1,5", "٣x"]
    for cell in cells:
        yield Attack(f"cell {cell!r}", CSV, scores_csv([(s.id, cell) for s in samples]).encode())
    yield Attack("a million columns", CSV, b"file" + b",class:x" * 1_000_000 + b"\nx\n")
    header = "file," + ",".join(f"class:{n}" for n in range(100_000))
    yield Attack("many classes", CSV, f"{header}\n{samples[0].id}{',1' * 100_000}\n".encode())
    yield Attack("open quote", CSV, b'file,score\n"' + b"x" * 5_000_000)
    yield Attack("no header", CSV, b"1,2\n3,4\n")
    yield Attack("bytes", CSV, b"file,score\n\xff\xfe\x00")
    yield Attack("zeros", CSV, b"\0" * 1_000_000)
    yield Attack("twice", CSV, (full + full.split("\n", 1)[1]).encode())
    yield Attack("formula as name", CSV, b"file,score\n=1+1,0.5\n")
    formula = full.replace("score", "score,label").replace("0.5", "0.5,=HYPERLINK(1)")
    yield Attack("formula as class", CSV, formula.encode(), harmless=True)


def pictures(config: DatasetConfig) -> Iterator[Attack]:
    samples = samples_of(config)
    right = {f"{sample.id}.png": png(true_mask("pit")) for sample in samples}
    name = next(iter(right))
    huge = bytearray(right[name])
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    import numpy as np

    odd = {
        "huge": bytes(huge),
        "not a picture": b"GIF89a" + b"\0" * 100,
        "empty": b"",
        "cut off": right[name][:40],
        "other size": png(np.zeros((3, 3), np.uint8)),
        "colours": png(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)),
        "values": png(np.arange(48 * 40, dtype=np.uint8).reshape(40, 48)),
        "svg": b"<svg onload='alert(1)'/>",
    }
    for title, content in odd.items():
        yield Attack(f"mask {title}", ZIP, zip_of({**right, name: content}))


def models() -> Iterator[Attack]:
    model = onnx_model()
    rng = random.Random(1)  # noqa: S311
    bent = bytearray(model)
    for _ in range(20):
        bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    for title, content in {
        "garbage": b"\x08\x07" * 500,
        "empty": b" ",
        "cut off": model[:100],
        "bent": bytes(bent),
        "other input": onnx_model(input_name="x"),
        "too large": onnx_model(5000, 5000),
        "out of range": onnx_model(gain=1e30),
        "not a number": onnx_model(gain=float("nan")),
    }.items():
        yield Attack(f"model {title}", ZIP, zip_of({"model.onnx": content}))


def attacks(config: DatasetConfig) -> list[Attack]:
    """Return every submission above."""
    kinds = (archives(), documents(config), tables(config), pictures(config), models())
    found = [attack for kind in kinds for attack in kind]
    wrong = [("multipart/form-data; boundary=x", b"--x"), ("text/html", b"<script>"), ("", b"x")]
    wrong += [("application/x-python-pickle", b"cos\nsystem\n(S'id'\ntR."), (ZIP, b"")]
    return found + [Attack(f"type {media!r}", media, body) for media, body in wrong]


def odd_requests(n: int, seed: int) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Yield method, address, headers and body of random requests that no client makes."""
    rng = random.Random(seed)  # noqa: S311
    roots = ["/runs", "/runs/{}", "/runs/{}/pictures", "/runs/{}/pictures/{}/overlay", "/compare"]
    roots += ["/datasets/plates/runs", "/datasets/plates/pictures", "/datasets/plates/pictures/{}"]
    roots += [
        "/leaderboard",
        "/compare/pictures",
        "/jobs",
        "/jobs/{}",
        "/jobs/{}/events",
        "/page/{}",
    ]
    parts = ["runs", "datasets", "plates", "pictures", "jobs", "compare", "leaderboard", "overlay"]
    parts += ["..%2f..%2fetc%2fpasswd", "%00", "%ff", "a" * 3000, "0" * 32, "-1", "{run}", "'--"]
    values = [
        "x",
        "-1",
        "1e99",
        "%00",
        "%ff",
        "a" * 5000,
        "WzFd",
        "W10",
        "worst",
        "';DROP TABLE runs",
    ]
    names = ["limit", "cursor", "order", "dataset", "metric", "first", "second", "kind", "layer"]
    names += ["name", "threshold", "decide", "size", "mine"]
    for _ in range(n):
        path = rng.choice([*roots, "/{}/{}/{}"])
        while "{}" in path:
            path = path.replace("{}", rng.choice(parts), 1)
        query = "&".join(
            f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randint(0, 4))
        )
        method = rng.choice(["GET", "GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"])
        headers = {
            "Content-Type": rng.choice([ZIP, JSON, CSV, "text/plain", "a/b;c=\\"]),
            "Idempotency-Key": rng.choice(["k", "x" * 300, "é".encode().decode("latin-1")]),
            "If-None-Match": rng.choice(["*", '"x"', "\\"]),
            "Last-Event-ID": rng.choice(["1", "-1", "x" * 500]),
            "Range": rng.choice(["bytes=0-", "bytes=-1", "x"]),
        }
        headers = {name: headers[name] for name in rng.sample(list(headers), rng.randint(0, 3))}
        yield method, f"{path}?{query}", headers, rng.randbytes(rng.choice([0, 0, 10, 2000]))
