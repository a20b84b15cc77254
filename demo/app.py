"""Starts the page of ``vlm-aes demo`` as a Hugging Face Space."""

import os

from vlm_aes import Assessor
from vlm_aes.demo.server import serve


def main() -> None:
    """Load the model that ``VLM_AES_MODEL`` names, or the embedded one, and serve the page."""
    assessor = Assessor.from_pretrained(os.environ.get("VLM_AES_MODEL"))
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    server = serve(assessor, host=host, port=port)
    print(f"{assessor.terms}\nThe page is at {server.url}.")
    try:
        server.wait()
    finally:
        server.close()


if __name__ == "__main__":
    main()
