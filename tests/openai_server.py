"""A small real server in the OpenAI protocol, with our own tiny checkpoint behind it.

``python openai_server.py CHECKPOINT PORT [ANSWERS]``: answers one token, with the most probable next tokens
computed from the checkpoint, over plain HTTP; after so many answers it is killed.
"""

import base64
import io
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from PIL import Image

from vlm_aes.models.vlm import load_backbone

MOST = 20


class Served:
    """A checkpoint that tells its most probable next tokens."""

    def __init__(self, folder, answers=None):
        self.backbone = load_backbone(folder, device="cpu")
        self.answers = answers
        self.lock = threading.Lock()
        self.requests = []
        self.refusals = []

    def complete(self, body):
        """The answer to a chat completion."""
        *_, user, answer = body["messages"]
        assert body["continue_final_message"] and not body["add_generation_prompt"]
        address = next(p["image_url"]["url"] for p in user["content"] if p["type"] == "image_url")
        question = next(p["text"] for p in user["content"] if p["type"] == "text")
        data = base64.b64decode(address.partition("base64,")[2])
        image = Image.open(io.BytesIO(data)).convert("RGB")
        thinking = body.get("chat_template_kwargs", {}).get("enable_thinking")
        with self.lock:
            text = self.backbone.render(question, answer["content"], thinking=thinking)
            logits = self.backbone.full_logits(self.backbone.encode([image], [text]))[0]
        logs = logits.float().log_softmax(-1)
        top = torch.topk(logs, min(body["top_logprobs"], MOST))
        decode = self.backbone.tokenizer.decode
        found = [{"token": decode([int(i)]), "logprob": float(p)} for p, i in zip(*top)]
        place = {**found[0], "top_logprobs": found}
        return {
            "object": "chat.completion", "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "length", "logprobs": {"content": [place]},
                         "message": {"role": "assistant", "content": found[0]["token"]}}],
        }  # fmt: skip


def server(served, port=0, name="tiny"):
    """An HTTP server; ``served.refusals`` are statuses that it gives before it answers."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self, status, said, headers=()):
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for key, value in headers:
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            if self.path != "/v1/models":
                self._say(404, {"error": {"message": "no such path"}})
                return
            self._say(200, {"object": "list", "data": [{"id": name, "created": id(self)}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.requests.append(body)
            if served.answers is not None and len(served.requests) > served.answers:
                os.kill(os.getpid(), signal.SIGKILL)
            if served.refusals:
                status, said, *headers = served.refusals.pop(0)
                self._say(status, said, headers)
                return
            self._say(200, served.complete(body))

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    torch.set_num_threads(1)
    own = Served(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else None)
    with server(own, int(sys.argv[2])) as running:
        print(running.server_address[1], flush=True)
        running.serve_forever()
