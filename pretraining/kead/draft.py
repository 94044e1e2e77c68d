"""A first prompt file for a new category, by a vision-language model, for a person to edit."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from millsight.platform import storage
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.errors import UserError
from millsight.pretraining.kead.prompt_sets import PromptSet, parse_prompts, slug

LONGEST_SIDE = 768
JPEG_QUALITY = 90

INSTRUCTIONS = """\
You see one picture from a production line: {category}. Describe what an inspection camera sees, so
that a text-image model can tell good pieces from damaged ones. Answer with one JSON object:
{{"object": noun for the surface in the picture, without article,
"good": [2 or 3 short phrases for a good piece, each with {{}} in place of the object],
"defects": {{defect type: how it appears in the picture, at most 20 words}} for 4 to 10 defect types
that such a surface can have, whether or not this picture shows them}}
Say shape, direction, brightness and border; do not say the cause. Use no braces elsewhere."""

HEADER = """\
# A draft by {model} from one picture: {picture}
# A person must edit it before it is used: strike out defects that do not occur on this line, add
# those that do, and correct how they look. The format: pretraining/kead/prompts/README.md
"""


@dataclass(frozen=True)
class Endpoint:
    """Any server that speaks OpenAI's chat-completions protocol and reads pictures.

    Attributes:
        model: Name of the model there.
        base_url: Address up to and with ``/v1``; ``None`` takes ``OPENAI_BASE_URL``, else
            OpenAI's own.
        api_key: ``None`` takes the environment variable ``OPENAI_API_KEY``.
        timeout: Seconds for the whole answer.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = None
    timeout: float = 120.0


def draft_prompts(picture: str, category: str, output: str | Path, endpoint: Endpoint) -> PromptSet:
    """Ask for sentences about ``picture`` and write them as a prompt file.

    The answer is checked like any prompt file, and written whole or not at all.

    Args:
        picture: Path or address of one picture of the category; it is sent, scaled down to 768
            pixels, to the endpoint.
        category: Name of the new category.
        output: The YAML file to write; never overwritten.
        endpoint: Who is asked.

    Raises:
        UserError: If the file exists, the picture does not decode, the endpoint does not answer, or
            its answer is not a valid prompt set.
    """
    fs, path = storage.filesystem(output)
    if fs.exists(path):
        raise UserError(f"--output {output} exists and is not overwritten; name another file.")
    try:
        pixels = open_picture(picture)
    except PictureError as error:
        raise UserError(f"--picture {picture}: {error}.") from None
    answer = _ask(endpoint, INSTRUCTIONS.format(category=category), _data_uri(pixels))
    text = HEADER.format(model=endpoint.model, picture=Path(picture).name)
    text += _to_yaml(answer, category, endpoint)
    prompts = parse_prompts(text, f"the answer of {endpoint.model}")
    storage.write_bytes(output, text.encode())
    return prompts


def _ask(endpoint: Endpoint, instructions: str, picture: str) -> str:
    import openai

    content: Any = [
        {"type": "text", "text": instructions},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    try:
        client = openai.OpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            timeout=endpoint.timeout,
            max_retries=1,
        )
        reply = client.chat.completions.create(
            model=endpoint.model,
            messages=[{"role": "user", "content": content}],
            response_format={"type": "json_object"},
        )
    except openai.OpenAIError as error:
        raise UserError(
            f"--base_url {endpoint.base_url or '(the default)'}: no answer from "
            f"{endpoint.model} ({type(error).__name__}: {error}). Check the address, --model, and "
            "the key in OPENAI_API_KEY."
        ) from None
    choices = reply.choices or []
    return (choices[0].message.content or "") if choices else ""


def _to_yaml(answer: str, category: str, endpoint: Endpoint) -> str:
    # Some models fence their JSON whatever they are told.
    bare = answer.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        content = json.loads(bare)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(
            f"{endpoint.model} did not answer with a JSON object but with {answer[:80]!r}; run the "
            "command again, or name another --model. Nothing was written."
        )
    named = {"category": slug(category), **content}
    text: str = yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=100)
    return text


def _data_uri(pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
