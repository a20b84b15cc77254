import socket

import pytest
import torch

torch.set_num_threads(1)  # two threads are slower: most models here are tiny


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing in the suite may reach out."""

    def refuse(self, address):
        raise AssertionError(f"network attempt: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """From a family's name to the folder of its tiny random checkpoint, built once."""
    from tests import tiny_checkpoints

    built = {}

    def folder(family, **options):
        key = (family, *sorted(options.items()))
        if key not in built:
            built[key] = tiny_checkpoints.build(family, tmp_path_factory.mktemp("tiny") / family, **options)
        return built[key]

    return folder
