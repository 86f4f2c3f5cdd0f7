"""`python -m service`: runs the API and its workers. Child processes do not import this file."""

from service.settings import Settings
from service.supervisor import run_server

run_server(Settings())
