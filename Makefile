# `make score`, `make demo` and `make test` set everything up in .venv the first time.
PYTHON ?= python3
PIP = .venv/bin/python -m pip install -qq --constraint constraints.txt

.PHONY: score demo test lint setup
setup: .venv/score

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch comes first and pinned: a looser range would bring gigabytes of CUDA along.
.venv/score: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) --editable .
	touch $@

.venv/demo: .venv/score
	$(PIP) --editable '.[demo]'
	touch $@

.venv/dev: .venv/score
	$(PIP) --editable '.[demo,dev,train,quantize,heic,smolvlm,ray,xmp,hub,onnx,openvino]'
	touch $@

score: .venv/score
	@test -d samples || .venv/bin/vlm-aes samples samples
	@.venv/bin/vlm-aes score samples --rationale

demo: .venv/demo
	@.venv/bin/vlm-aes demo

test: .venv/dev
	.venv/bin/python -m pytest -q

lint: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
