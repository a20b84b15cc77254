"""The page that photographers send to each other: a Gradio app around one model."""

import os

# before Gradio is imported: nothing is counted, nothing is fetched
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
