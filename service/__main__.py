"""`python -m service`: the API and its workers, as settings say. Processes that it spawns do not load it again."""

from service.settings import Settings
from service.supervisor import run_server

run_server(Settings())
