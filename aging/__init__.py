"""Age the faces of photos and videos. In reading order:

card.py       the input and output of a generator; exported files contain it as metadata
generators.py the two generators of a run as functions on arrays, through onnxruntime or torch
aged_photo.py a photo with its faces and predicted changes; gives the photo at any strength
photo_file.py reads and writes photo files, with transparency, colour profile and metadata
pictures.py   before-and-after pictures, and rows of a face from younger to older
sessions.py   the photos that visitors of the page have open
page.py       the page of app.py
tracks.py     tracks faces through a video and smooths their landmarks
clip.py       reads and writes the frames of video files
video.py      ages the faces of a video
trained.py    the generators of a run as torch modules, each with its card
exporting.py  exports generators to ONNX, TorchScript and safetensors files

Only the last two import torch, because importing it would take most of the time that a single photo needs.
"""
