"""``python -m vlm_aes.cli``."""

from vlm_aes.cli import main

main()
