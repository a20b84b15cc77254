"""The page that photographers send to each other: a Gradio app around one model."""
