"""One photo in, one photo out. In reading order:

card.py      what a network expects and gives; travels with exported files as metadata
trained.py   the generators of a run, with a card each
exporting.py generators as ONNX, TorchScript and safetensors files
"""
