"""Networks from elsewhere: ONNX files, torch.export programs, TorchScript bundles, timm and torchvision by name.

ONNX and torch.export files are read as lists of operations and tensors: every operation must be one that is known here,
and none of the file's content is ever run as code. TorchScript is code, and is only loaded where the caller says so.
"""
