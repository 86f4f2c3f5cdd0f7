"""A Python client of the service, with typed answers.

from service.client import Client

with Client("http://127.0.0.1:8000") as client:
    job = client.wait(client.detect("slide.svs").id)
    print(job.count, client.download(job.id, "detections.geojson", "."))
"""

from service.client.attempts import ServiceError as ServiceError
from service.client.calls import Client as Client
from service.client.choices import ScanChoices as ScanChoices
