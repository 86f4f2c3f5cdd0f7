"""python tuspy_upload.py ENDPOINT FILE: uploads a file by tuspy, which goes on by itself where the line breaks."""

import sys
from pathlib import Path

from tusclient.client import TusClient

endpoint, path = sys.argv[1:]
uploader = TusClient(endpoint).uploader(
    path, chunk_size=50_000_000, retries=10, retry_delay=1, metadata={"filename": Path(path).name}
)
uploader.upload()
print(uploader.url)
