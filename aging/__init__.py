"""One photo in, one photo out. In reading order:

card.py       what a generator expects and gives; exported files carry it as metadata
generators.py the two generators of a run as functions on arrays, through onnxruntime or torch
aged_photo.py a photo, its faces and the predicted changes; the photo at any strength
photo_file.py reading photos with what must survive, writing them, names of results
pictures.py   before and after, and the row from younger to older
sessions.py   the photos that visitors of the page have open
page.py       the page of app.py
tracks.py     faces through a video, without jitter
clip.py       frames of video files
video.py      a video with its faces aged
trained.py    the generators of a run as torch modules, with a card each
exporting.py  generators as ONNX, TorchScript and safetensors files

Only the last two import torch: most of the time that one photo takes would otherwise go into that.
"""
