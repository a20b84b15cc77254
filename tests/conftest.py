import socket

import pytest
import torch

torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing in the suite may reach out."""

    def refuse(self, address):
        raise AssertionError(f"network attempt: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
