"""What ``finetune``, ``distill``, ``ensemble`` and ``route`` do."""
