"""The Hugging Face hub: what is fetched from it and pushed to it."""
